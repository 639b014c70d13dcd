"""HTTP API, every path: health, and threads. Identity: the bearer token of each request."""

from agentsocket import edge, wiring

handler = edge.http(wiring.api(), origins=wiring.origins())
