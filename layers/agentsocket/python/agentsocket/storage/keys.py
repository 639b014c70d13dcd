"""Every key of the table and of Redis (data-model.md, Rows). The ids in them: `ids.py`.

One user's keys are `USER#<user_id>` or begin with `USER#<user_id>#`, and nobody else's do: an IAM condition
`dynamodb:LeadingKeys` can enforce outside what `user.py` enforces inside. Ids are checked before a key is built from
them.
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


def user(user_id: str) -> str:
    return f"USER#{_checked(user_id)}"


def connection(user_id: str, connection_id: str) -> Key:
    return _key(user(user_id), CONNECTION + _checked(connection_id))


def revoked(user_id: str, session: str = "") -> Key:
    """The row that says which tokens are dead: of a session, or all of the user's."""
    return _key(user(user_id), REVOKED + (f"SID#{session_hash(session)}" if session else "ALL"))


def session_hash(session: str) -> str:
    """A session in a key: an issuer may put any characters into `sid`."""
    return hashlib.sha256(session.encode()).hexdigest()[:32]


def ticket(user_id: str, ticket_id: str) -> Key:
    return _key(user(user_id), f"TICKET#{_checked(ticket_id)}")


def quota(user_id: str) -> Key:
    return _key(user(user_id), "QUOTA")


def run_pointer(user_id: str, run_id: str) -> Key:
    return _key(user(user_id), RUNNING + _checked(run_id))


def deleted(user_id: str, thread_id: str) -> Key:
    """The row that tells workers at once that a thread is gone."""
    return _key(user(user_id), DELETED + _checked(thread_id))


def stop(user_id: str, run_id: str) -> Key:
    return _key(user(user_id), STOP + _checked(run_id))


def run(user_id: str, run_id: str) -> Key:
    return _key(user(user_id), RUN + _checked(run_id))


def thread(user_id: str, thread_id: str) -> Key:
    return _key(user(user_id), THREAD + _checked(thread_id))


def log(user_id: str, thread_id: str) -> str:
    """The partition of one thread: its log, transcript and long contents."""
    return f"{user(user_id)}#THREAD#{_checked(thread_id)}"


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


def redis_user(deployment: str, user_id: str) -> str:
    """What begins the names of all Redis keys of a user; `deployment` is a table's name.

    The braces are Redis Cluster's hash tag: all keys of a user lie in one slot, so that a script may touch several.
    """
    return f"{deployment}:{{{_checked(user_id)}}}"


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


def uploads(user_id: str) -> Key:
    """The row that knows which messages arrive in parts just now."""
    return _key(user(user_id), "UPLOADS")


def part(user_id: str, message_id: str, number: int) -> Key:
    return _key(user(user_id), f"PART#{_checked(message_id)}#{number:02}")


def _key(partition: str, sort: str) -> Key:
    return {"PK": partition, "SK": sort}


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("an id must be 1 to 128 characters of A-Z a-z 0-9 _ . = -")
    return name
