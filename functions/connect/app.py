"""$connect route: a socket opens. Identity: the authorizer's context."""

from agentsocket import edge, relay, wiring
from agentsocket.inputs import SocketRequest

storage = wiring.storage()


@edge.connect
def handler(request: SocketRequest) -> str | None:
    return relay.connect(request, storage=storage)
