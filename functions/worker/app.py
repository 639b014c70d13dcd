"""Run queue (SQS FIFO): runs the agent. Identity: the user in the record, which only Message can have put there."""

from agentsocket import edge, relay, wiring
from agentsocket.agents.catalog import AGENTS
from agentsocket.inputs import RunRecord

storage, dispatch, gateway = wiring.storage(epochs=True), wiring.dispatch(dead_letters=True), wiring.gateway()
runtime = wiring.runtime()


@edge.queue
async def handler(record: RunRecord) -> None:
    await relay.execute(record, storage=storage, dispatch=dispatch, gateway=gateway, agents=AGENTS, runtime=runtime)
