"""$connect route: a socket opens. Identity: the authorizer's context."""

from agentsocket import relay, wiring
from agentsocket.handlers import decorators
from agentsocket.inputs import SocketRequest

storage, control_queue = wiring.storage(), wiring.control_queue()


@decorators.connect
def handler(request: SocketRequest) -> str | None:
    return relay.connect(request, storage=storage, control_queue=control_queue)
