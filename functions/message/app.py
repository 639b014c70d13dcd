"""$default route: every frame a client sends once connected. Identity: the authorizer's context, set at $connect."""

from collections.abc import Iterable

from agentsocket import edge, relay, wiring
from agentsocket.frames import Reply
from agentsocket.inputs import SocketRequest

storage, dispatch, gateway = wiring.storage(epochs=True), wiring.dispatch(), wiring.gateway()
verify, agents, limits = wiring.verify_locally(), wiring.agent_names(), wiring.limits()


@edge.websocket(gateway)
def handler(request: SocketRequest) -> Iterable[Reply]:
    return relay.receive(
        request, storage=storage, dispatch=dispatch, gateway=gateway, verify=verify, agents=agents, limits=limits
    )
