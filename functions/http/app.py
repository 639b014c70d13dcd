"""HTTP API, every path: health, and threads. Identity: the bearer token of each request."""

from agentsocket import wiring
from agentsocket.handlers import decorators

handler = decorators.http(wiring.api(), origins=wiring.origins())
