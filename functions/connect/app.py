"""$connect route: a socket opens. Identity: the authorizer's context."""

from agentsocket import relay, wiring
from agentsocket.handlers import decorators
from agentsocket.inputs import SocketRequest

storage, schedule = wiring.storage(), wiring.schedule()


@decorators.connect
def handler(request: SocketRequest) -> str | None:
    return relay.connect(request, storage=storage, schedule=schedule)
