"""$default route: every frame a client sends once connected. Identity: the authorizer's context, set at $connect."""

from functools import partial

from agentsocket import relay, wiring
from agentsocket.handlers import decorators

receive = partial(
    relay.receive,
    storage=wiring.storage(epochs=True, per_user=True),
    contexts=wiring.contexts(per_user=True),
    run_queue=wiring.run_queue(),
    management_api=wiring.management_api(),
    verify=wiring.verify_locally(),
    agents=wiring.agent_names(),
)
handler = decorators.websocket(wiring.management_api())(receive)
