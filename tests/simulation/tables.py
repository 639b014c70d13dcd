"""The table at the end: its logs and transcripts as `history.py` wants them, and what must hold of its rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from agentsocket.storage.rows import LogEvent, Run
from lambdakit.dynamodb import deserialize
from tests.simulation.dynamodb import Database
from tests.simulation.history import Accepted, Log
from tests.simulation.order import Frame, Line

Row = dict[str, Any]
_TERMINAL = {"completed", "failed", "stopped"}
_IN_HAND = 5  # events that a worker may write before it finds that its lease has lapsed


class Rows:
    """All rows of the table, deserialized."""

    def __init__(self, database: Database) -> None:
        self._rows: list[Row] = [deserialize(item) for item in database.rows()]

    def runs(self) -> list[Run]:
        return [Run.of(row) for row in self._rows if row["SK"].startswith("RUN#")]

    def accepted(self, epochs: dict[str, str]) -> list[Accepted]:
        """Every run there is, as if its message had been answered; `epochs` are its thread's."""
        return [
            Accepted(_user(row), row["message_id"], row["thread_id"], epochs.get(row["thread_id"], ""), row["run_id"])
            for row in self._rows
            if row["SK"].startswith("RUN#") and "retry_of" not in row
        ]

    def redriven(self) -> set[str]:
        """The messages that were asked once more."""
        return {row["message_id"] for row in self._rows if "retry_of" in row}

    def epochs(self) -> dict[str, str]:
        """Thread -> its epoch, as clients are told it."""
        return {row["thread_id"]: f"g.{row['epoch']}" for row in self._rows if row["SK"].startswith("THREAD#")}

    def logs(self) -> dict[str, Log]:
        """Thread -> its log."""
        logs = {row["thread_id"]: Log(_user(row)) for row in self._rows if row["SK"].startswith("THREAD#")}
        for row in self._rows:
            thread_id = row["PK"].partition("#THREAD#")[2]
            if row["SK"].startswith("EVENT#"):
                logs[thread_id].events.append(_event(row))
            elif row["SK"].startswith("MESSAGE#"):
                text = self._content(row["PK"], row["message_id"]) if row["truncated"] else row["content"]
                logs[thread_id].transcript.append(Line(row["message_id"], row["role"], text))
        return logs

    def top(self, thread_id: str) -> int:
        """The highest seq of a thread."""
        seqs = [int(row["SK"][6:]) for row in self._rows if self._is_event_of(row, thread_id)]
        return max(seqs, default=0)

    def _is_event_of(self, row: Row, thread_id: str) -> bool:
        return str(row["SK"]).startswith("EVENT#") and str(row["PK"]).endswith(f"#THREAD#{thread_id}")

    def _content(self, partition: str, message_id: str) -> str:
        prefix = f"CONTENT#{message_id}#"
        parts = [row for row in self._rows if row["PK"] == partition and row["SK"].startswith(prefix)]
        return "".join(row["content"] for row in parts)

    def violations(self, deleted: set[str], doomed: set[str], *, late_calls: bool) -> Iterator[str]:
        """What is left that should not be, or missing.

        `doomed` threads may be deleted, or not. Of a deleted thread only a head may stay, for a while. With
        `late_calls`, what a worker does may take effect when it is gone or should be: a lease may be left, and events
        of a deleted thread that a worker wrote in the second before it noticed; nobody can read them.
        """
        late: Counter[str] = Counter()
        tops = {thread_id: len(log.events) for thread_id, log in self.logs().items()}
        for row in self._rows:
            thread_id = row["PK"].partition("#THREAD#")[2] or row.get("thread_id", "")
            if thread_id in deleted:
                late[thread_id] += row["SK"].startswith("EVENT#")
                may_stay = row["SK"] == "META" or (
                    late_calls and row["SK"].startswith("EVENT#") and late[thread_id] <= _IN_HAND
                )
                if not (may_stay and "expires_at" in row):
                    yield from _of_deleted(row)
            elif thread_id in doomed:
                continue
            elif row["SK"] == "META":
                left = row.keys() & {"lease_owner", "lease_run", "lease_until", "unreleased_since"}
                if left and not late_calls:
                    yield f"the lease of thread {thread_id} is not released: {sorted(left)}"
                if row.get("top") != tops[thread_id]:
                    yield f"the top of thread {thread_id} is {row.get('top')}, its log has {tops[thread_id]} events"
            if row["SK"] == "QUOTA" and row.get("running") and not late_calls:
                yield f"counted as running still: {sorted(row['running'])}"
            if row["SK"].startswith("LIVE#RUN#"):
                yield f"{row['SK']} is left"
            if row["SK"].startswith("RUN#") and row["state"] not in _TERMINAL:
                yield f"run {row['run_id']} is {row['state']}"
            if row["SK"].startswith("EVENT#") and int(row["SK"][6:]) != _event(row)["seq"]:
                yield f"{row['SK']} holds event {json.loads(row['frame'])['seq']}"


def _of_deleted(row: Row) -> Iterator[str]:
    """A tombstone may stay, and that a run was: nothing that was said."""
    if "#THREAD#" in row["PK"]:
        yield f"{row['SK']} of a deleted thread is left"
    elif row["SK"].startswith("THREAD#") and not (row.get("deleted_at") and not row.keys() & {"title", "metadata"}):
        yield "a deleted thread's title is left"
    elif row["SK"].startswith("RUN#") and row["content"]:
        yield f"the text of run {row['run_id']} of a deleted thread is left"


def _event(row: Row) -> Frame:
    event: Frame = json.loads(LogEvent.of(row).frame)
    return event


def _user(row: Row) -> str:
    return str(row["PK"].split("#")[1])
