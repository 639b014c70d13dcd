"""$disconnect route: a socket has closed. Identity: the authorizer's context, set at $connect."""

from agentsocket import edge, relay, wiring
from agentsocket.inputs import SocketRequest

storage = wiring.storage()


@edge.disconnect
def handler(request: SocketRequest) -> None:
    relay.disconnect(request, storage=storage)
