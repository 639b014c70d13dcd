"""$disconnect route: a socket has closed. Identity: the authorizer's context, set at $connect."""

from agentsocket import relay, wiring
from agentsocket.handlers import decorators
from agentsocket.inputs import SocketRequest

storage = wiring.storage()


@decorators.disconnect
def handler(request: SocketRequest) -> None:
    relay.disconnect(request, storage=storage)
