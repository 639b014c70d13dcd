"""$connect route: a socket opens. Identity: the authorizer's context."""

from agentsocket import edge, relay, wiring
from agentsocket.inputs import SocketRequest

storage, schedule, limits = wiring.storage(), wiring.schedule(), wiring.limits()


@edge.connect
def handler(request: SocketRequest) -> str | None:
    return relay.connect(request, storage=storage, schedule=schedule, limits=limits)
