"""Erasing a user: from the first step on nobody gets in, from the second on nothing can be read, then all rows go.

    refuse -> hide -> contexts -> sweep, thread by thread -> the other rows; once more for what was under way; check

Every step may be repeated, so whoever dies at one begins again and goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from agentsocket import principal
from agentsocket.errors import AgentSocketError, LeaseHeld, LeaseLost
from agentsocket.storage.thread_log import Lease

if TYPE_CHECKING:
    from agentsocket.aws.control_queue import ControlQueue
    from agentsocket.contexts.contract import ContextStore, UserContexts
    from agentsocket.storage.user import Storage, UserStorage

_BY = "erase-user"  # stands where a tombstone names the command
_NO_RUN = "erasure"  # stands where a lease names its run
_PASSES = 3
Say = Callable[[str], None]


class Unknown(AgentSocketError):
    """There is nobody to erase: most likely the claims are not those of the user's tokens."""


class EraseUser(Struct, frozen=True, kw_only=True):
    """What erasing takes. `control_queue` reaches who closes the user's sockets; None: they end by themselves.

    `wait_s` is how long a command or run that was under way may go on: longer than a function's time-out. `say` hears
    of each step.
    """

    storage: Storage
    contexts: ContextStore
    control_queue: ControlQueue | None
    sleep: Callable[[float], None]
    say: Say
    wait_s: float

    def run(self, issuer: str, subject: str) -> bool:
        """Erase the user of these claims. Returns whether nothing is left that should not be.

        Raises Unknown when the table knows nobody of these claims, then it is not written to; and Unavailable.
        """
        who = principal.of_revocation(issuer, subject)
        user, contexts = self.storage.for_user(who), self.contexts.for_user(who)
        self.say(f"user {who.user}")
        if not user.erasure.is_known():
            contexts.erase()  # Redis may remember whom the table has long forgotten
            raise Unknown(f"nothing is kept of the user with issuer {issuer!r} and subject {subject!r}")
        self._refuse(user, issuer, subject)
        self._remove(user, contexts, live=False)
        self.say(f"waiting {self.wait_s:g} s for what was under way")
        self.sleep(self.wait_s)
        for _ in range(_PASSES):
            self._remove(user, contexts, live=True)
            left = user.erasure.remaining()
            if not left:
                self.say(f"checked: nothing of the user is left but {_listed(user.erasure.retained())}")
                return True
        self.say(f"still being written: {_listed(left)}")
        return False

    def _refuse(self, user: UserStorage, issuer: str, subject: str) -> None:
        """Every token of the user is dead. Clocks differ: also those that are issued in the next seconds."""
        leeway_s = self.storage.limits.token_leeway_s
        not_before = int(user.now()) + leeway_s
        user.erasure.revoke_tokens(not_before=not_before)
        if self.control_queue:
            self.control_queue.revoke(issuer, subject, not_before=not_before)
        self.say(f"tokens issued within {leeway_s} s from now, or before, are refused")

    def _remove(self, user: UserStorage, contexts: UserContexts, *, live: bool) -> None:
        threads = user.erasure.threads()
        standing = [thread_id for thread_id, deleted in threads.items() if not deleted]
        for thread_id in standing:
            user.thread_deletion(thread_id, by=_BY).hide()
        if standing:
            self.say(f"{len(standing)} threads hidden")
        contexts.erase()  # before the sweep: what Redis has of a thread is found by the thread's rows
        full = [thread_id for thread_id in threads if not user.erasure.is_swept(thread_id)]
        for number, thread_id in enumerate(full, start=1):
            self._sweep(user, thread_id)
            self.say(f"thread {thread_id} swept ({number} of {len(full)})")
        self.say(f"contexts and {user.erasure.remove_rows(live=live)} other rows removed")

    def _sweep(self, user: UserStorage, thread_id: str) -> None:
        """Under the thread's lease, so that no run writes meanwhile: one that is under way ends first."""
        deleting, log = user.thread_deletion(thread_id, by=_BY), user.log(thread_id)
        waited = False
        while True:
            lease = Lease(owner=user.new_id(), run_id=_NO_RUN, attempt=1)
            try:
                top = log.take_lease(lease).top
                while deleting.sweep():
                    log.renew_lease(lease, top=top)
                deleting.finish(lease)
            except LeaseHeld as held:
                if not waited:
                    self.say(f"thread {thread_id}: a run is under way, and ends")
                waited = True
                self.sleep(min(1.0, max(0.1, held.remaining_s)))
            except LeaseLost:
                continue
            else:
                return


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing"
