"""Run queue (SQS FIFO): runs the agent. Identity: the user in the record, which only Message can have put there."""

from functools import partial

from agentsocket import relay, wiring
from agentsocket.agents.catalog import AGENTS
from agentsocket.handlers import decorators

execute = partial(
    relay.execute,
    storage=wiring.storage(epochs=True, per_user=True),
    contexts=wiring.contexts(per_user=True),
    run_queue=wiring.run_queue(dead_letters=True),
    management_api=wiring.management_api(),
    agents=AGENTS,
    runtime=wiring.runtime(),
)
handler = decorators.queue(execute)
