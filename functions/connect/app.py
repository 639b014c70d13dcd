"""$connect route: a socket opens. Identity: the authorizer's context."""

from agentsocket import edge, relay, wiring
from agentsocket.inputs import SocketRequest

storage, schedule = wiring.storage(), wiring.schedule()


@edge.connect
def handler(request: SocketRequest) -> str | None:
    return relay.connect(request, storage=storage, schedule=schedule)
