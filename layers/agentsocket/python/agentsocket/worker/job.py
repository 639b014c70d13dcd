"""One run in one worker as a value: the run, the lease it is written under, and the adapters that its steps use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agentsocket.agents.catalog import DEFAULT
from agentsocket.agents.contract import Agent
from agentsocket.aws.management_api import ManagementApi
from agentsocket.aws.run_queue import RunQueue
from agentsocket.contexts.contract import UserContexts
from agentsocket.inputs import RunRecord
from agentsocket.limits import Limits
from agentsocket.runtime import Runtime
from agentsocket.storage.rows import Run
from agentsocket.storage.thread_log import Lease, ThreadLog
from agentsocket.storage.user import UserStorage


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob:
    """Made once per record by `relay.execute`; `lease` is this worker's own, and is taken by `claim`."""

    run: Run
    lease: Lease
    record: RunRecord
    store: UserStorage
    contexts: UserContexts
    run_queue: RunQueue
    management_api: ManagementApi
    agents: Mapping[str, Callable[[], Agent]]
    runtime: Runtime

    @property
    def limits(self) -> Limits:
        return self.runtime.limits

    @property
    def log(self) -> ThreadLog:
        """The log and transcript of the run's thread."""
        return self.store.log(self.run.thread_id)

    @property
    def agent_name(self) -> str:
        return self.run.agent or DEFAULT

    @property
    def message_id(self) -> str:
        """The id of this attempt's text: the next attempt gets another."""
        return f"{self.run.run_id}.{self.lease.attempt}"
