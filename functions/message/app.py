"""$default route: every frame a client sends once connected. Identity: the authorizer's context, set at $connect."""

from collections.abc import Iterable

from agentsocket import relay, wiring
from agentsocket.handlers import decorators
from agentsocket.inputs import SocketRequest
from agentsocket.protocol.frames import Reply

storage, contexts = wiring.storage(epochs=True, per_user=True), wiring.contexts(per_user=True)
dispatch, gateway = wiring.dispatch(), wiring.gateway()
verify, agents = wiring.verify_locally(), wiring.agent_names()


@decorators.websocket(gateway)
def handler(request: SocketRequest) -> Iterable[Reply]:
    return relay.receive(
        request, storage=storage, contexts=contexts, dispatch=dispatch, gateway=gateway, verify=verify, agents=agents
    )
