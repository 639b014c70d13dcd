"""What an agent recalls and remembers, under the names that it declares (delivery.md, Contexts).

Names that begin with `thread.` are its thread's own and end with it; all others are the user's. Clients see those that
begin with `user.`, and are notified of a change to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agentsocket.commands import contexts, notify
from agentsocket.contexts.contract import Context, Contexts, change
from agentsocket.worker.job import RunJob

_OF_THREAD, _OF_CLIENTS = "thread.", "user."


def recall(job: RunJob, names: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
    """What is remembered under each name, an empty object where nothing is: one read per name."""
    return {name: _scope(job, name).load(name).value for name in names}


def remember(job: RunJob, name: str, patch: Mapping[str, Any]) -> Context:
    """Apply a merge patch. Raises what `contract.change` does, and NotFound when the thread has been deleted."""
    return change(_scope(job, name), name, patch)


def is_shown_to_clients(name: str) -> bool:
    """Whether clients may see what is remembered under a name."""
    return name.startswith(_OF_CLIENTS)


def notify_clients(job: RunJob, changed: Context) -> None:
    """Notify the user's connections of a change. Raises Unavailable when it cannot be known which there are."""
    notify.connections(contexts.notice(changed), store=job.store, management_api=job.management_api)


def _scope(job: RunJob, name: str) -> Contexts:
    return job.contexts.of_thread(job.run.thread_id) if name.startswith(_OF_THREAD) else job.contexts.own
