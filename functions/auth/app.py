"""HTTP API, every route: the auth service. Identity: what a request brings, a grant, HTTP Basic or a Bearer token."""

from authservice import decorators, wiring

handler = decorators.http(wiring.service().routes(), origins=wiring.origins(), limits=wiring.limits())
