"""Every key of the table, and the ids in them (data-model.md, Rows).

One user's keys are `USER#<u>` or begin with `USER#<u>#`, and nobody else's do: an IAM `dynamodb:LeadingKeys` condition
can enforce outside what `user.py` enforces inside. Ids are checked before a key is built from them.
"""

from __future__ import annotations

import hashlib
import re

Key = dict[str, str]

BY_ACTIVITY = "by_activity"
LIVE = "LIVE#"
CONNECTION = LIVE + "CONN#"
THREAD = "THREAD#"
RUN = "RUN#"
REVOKED = LIVE + "REVOKED#"
STOP = LIVE + "STOP#"
RUNNING = LIVE + "RUN#"
DELETED = LIVE + "DELETED#"
EVENT = "EVENT#"
MESSAGE = "MESSAGE#"
CONTENT = "CONTENT#"
CONTEXT = "CONTEXT#"
ALL_CONTEXTS = "CONTEXT"  # they, and their count
META = "META"  # the last of a log's sort keys
_SEQ_DIGITS = 12
LAST_SEQ: int = 10**_SEQ_DIGITS - 1
NOBODY = "0" * 32  # of no user: an id has no zeros
NOTHING: Key = {"PK": f"USER#{NOBODY}", "SK": "NOTHING"}  # where a health check looks, never written
_NAME = re.compile(r"[A-Za-z0-9_.=-]{1,128}")  # "=": API Gateway's connection ids end in it
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(now: float, randomness: bytes) -> str:
    """A ULID: 48 bits of `now` (seconds; kept as milliseconds), 80 bits of `randomness` (10 bytes)."""
    return _crockford((int(now * 1000) << 80) | int.from_bytes(randomness[:10], "big"))


def retry_id(user: str, run: str) -> str:
    """The run that a redriven record of `run` starts. A message_id has no dot: this is no message's run."""
    return run_id(user, f"{run}.retry")


def thread_id(user: str, command_id: str) -> str:
    """The thread that a command makes: derived, so that the command can be repeated. Has a ULID's form."""
    return _derived(f"{user}\x00thread\x00{command_id}")


def run_id(user: str, message_id: str) -> str:
    """The run of a message: derived, so that the run's row is the idempotency record. Has a ULID's form."""
    return _derived(f"{user}\x00{message_id}")


def user(u: str) -> str:
    return f"USER#{_checked(u)}"


def connection(u: str, connection_id: str) -> Key:
    return _key(user(u), CONNECTION + _checked(connection_id))


def revoked(u: str, session: str = "") -> Key:
    """The row that says which tokens are dead: of a session, or all of the user's."""
    return _key(user(u), REVOKED + (f"SID#{session_hash(session)}" if session else "ALL"))


def session_hash(session: str) -> str:
    """A session in a key: an issuer may put any characters into `sid`."""
    return hashlib.sha256(session.encode()).hexdigest()[:32]


def ticket(u: str, ticket_id: str) -> Key:
    return _key(user(u), f"TICKET#{_checked(ticket_id)}")


def quota(u: str) -> Key:
    return _key(user(u), "QUOTA")


def run_pointer(u: str, run: str) -> Key:
    return _key(user(u), RUNNING + _checked(run))


def deleted(u: str, thread_id: str) -> Key:
    """The row that tells workers at once that a thread is gone."""
    return _key(user(u), DELETED + _checked(thread_id))


def stop(u: str, run: str) -> Key:
    return _key(user(u), STOP + _checked(run))


def run(u: str, run: str) -> Key:
    return _key(user(u), RUN + _checked(run))


def thread(u: str, thread_id: str) -> Key:
    return _key(user(u), THREAD + _checked(thread_id))


def log(u: str, thread_id: str) -> str:
    """The partition of one thread: its log, transcript and long contents."""
    return f"{user(u)}#THREAD#{_checked(thread_id)}"


def meta(partition: str) -> Key:
    return _key(partition, META)


def event(partition: str, seq: int) -> Key:
    return _key(partition, event_sort(seq))


def event_sort(seq: int) -> str:
    return f"{EVENT}{seq:0{_SEQ_DIGITS}}"


def message(partition: str, seq: int) -> Key:
    return _key(partition, message_sort(seq))


def message_sort(seq: int) -> str:
    return f"{MESSAGE}{seq:0{_SEQ_DIGITS}}"


def content_head(partition: str, message_id: str) -> Key:
    return _key(partition, f"{CONTENT}{_checked(message_id)}")


def content(partition: str, message_id: str, number: int) -> Key:
    return _key(partition, _content_sort(message_id, number))


def content_range(message_id: str, first: int, last: int) -> tuple[str, str]:
    """The sort keys between which these rows of a long text lie."""
    return _content_sort(message_id, first), _content_sort(message_id, last)


def _content_sort(message_id: str, number: int) -> str:
    return f"{CONTENT}{_checked(message_id)}#{number:04}"


def context(partition: str, name: str) -> Key:
    """A context of a user, or of a thread: `partition` is `user` or `log`."""
    return _key(partition, CONTEXT + _checked(name))


def context_count(partition: str) -> Key:
    """The row that bounds how many contexts a partition has."""
    return _key(partition, "CONTEXTS")


def redis_user(deployment: str, u: str) -> str:
    """What begins the names of all Redis keys of a user; `deployment` is a table's name.

    The braces are Redis Cluster's hash tag: all keys of a user lie in one slot, so that a script may touch several.
    """
    return f"{deployment}:{{{_checked(u)}}}"


def redis_thread(scope: str, thread_id: str) -> str:
    """What begins the names of all Redis keys of a user's thread."""
    return f"{scope}:thread:{_checked(thread_id)}"


def redis_context(scope: str, name: str) -> str:
    return f"{scope}:context:{_checked(name)}"


def redis_names(scope: str) -> str:
    """Which contexts the scope has."""
    return f"{scope}:names"


def redis_threads(scope: str) -> str:
    """Which of a user's threads have contexts."""
    return f"{scope}:threads"


def redis_gone(scope: str) -> str:
    """Says that the user, or the thread, has been deleted."""
    return f"{scope}:gone"


def uploads(u: str) -> Key:
    """The row that knows which messages arrive in parts just now."""
    return _key(user(u), "UPLOADS")


def part(u: str, message_id: str, number: int) -> Key:
    return _key(user(u), f"PART#{_checked(message_id)}#{number:02}")


def _key(partition: str, sort: str) -> Key:
    return {"PK": partition, "SK": sort}


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("an id with characters that may not stand in a key")
    return name


def _derived(text: str) -> str:
    return _crockford(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


def _crockford(number: int) -> str:
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
