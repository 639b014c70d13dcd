"""$default route: every frame a client sends once connected. Identity: the authorizer's context, set at $connect."""

from collections.abc import Iterable

from agentsocket import edge, relay, wiring
from agentsocket.frames import Reply
from agentsocket.inputs import SocketRequest

storage, dispatch, gateway = wiring.storage(epochs=True), wiring.dispatch(), wiring.gateway()
agents, limits = wiring.agent_names(), wiring.limits()


@edge.websocket(gateway)
def handler(request: SocketRequest) -> Iterable[Reply]:
    return relay.receive(request, storage=storage, dispatch=dispatch, agents=agents, limits=limits)
