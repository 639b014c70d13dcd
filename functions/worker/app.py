"""Run queue (SQS FIFO): runs the agent. Identity: the user in the record, which only Message can have put there."""

from agentsocket import relay, wiring
from agentsocket.agents.catalog import AGENTS
from agentsocket.handlers import decorators
from agentsocket.inputs import RunRecord

storage, contexts, runtime = (
    wiring.storage(epochs=True, per_user=True),
    wiring.contexts(per_user=True),
    wiring.runtime(),
)
dispatch, gateway = wiring.dispatch(dead_letters=True), wiring.gateway()


@decorators.queue
async def handler(record: RunRecord) -> None:
    await relay.execute(
        record, storage=storage, contexts=contexts, dispatch=dispatch, gateway=gateway, agents=AGENTS, runtime=runtime
    )
