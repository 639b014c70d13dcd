"""HTTP API, every route: the auth service. Identity: what a request brings, a grant, HTTP Basic or a Bearer token."""

from authservice import edge, wiring

handler = edge.http(wiring.service().routes(), origins=wiring.origins(), limits=wiring.limits())
