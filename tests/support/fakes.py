"""Little programs that stand where AWS, time and agents stand. No mocks: each keeps its own real state."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from msgspec.structs import replace

from agentsocket.agents.contract import AgentEvent, Turn
from agentsocket.aws.management_api import Delivery
from agentsocket.errors import Unavailable
from agentsocket.inputs import Check, Deletion, RunRecord, RunRequest
from tests.support import schema_check


@dataclass
class Clock:
    """A clock that stands still until it is moved. Seconds since the epoch."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Sockets:
    """@connections: remembers what each connection was sent; those in `gone` answer 410, in `busy` 429.

    Those in `stuck` answer 429 to being closed.
    """

    posted: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    gone: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    closed: list[str] = field(default_factory=list)
    stuck: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)

    def post(self, connection_id: str, frame: bytes) -> Delivery:
        if connection_id in self.gone:
            return "gone"
        if connection_id in self.busy:
            self.refused[connection_id] += 1
            return "throttled"
        self.posted[connection_id].append(schema_check.read(frame))
        return "delivered"

    def close(self, connection_id: str) -> Delivery:
        if connection_id in self.stuck:
            return "throttled"
        self.closed.append(connection_id)
        self.gone.add(connection_id)
        return "delivered"

    def events(self, connection_id: str) -> list[dict[str, Any]]:
        """The stream events a connection got, in order."""
        return [frame for frame in self.posted[connection_id] if "seq" in frame]


@dataclass
class Queue:
    """The run queue: sent requests wait in order, deduplicated by run; what was hidden and buried is kept."""

    waiting: list[RunRequest | Deletion] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    hidden: list[int] = field(default_factory=list)
    buried: list[RunRequest] = field(default_factory=list)
    failing: bool = False

    def send(self, request: RunRequest) -> None:
        if request.run_id not in self.seen:
            self.seen.add(request.run_id)
            self.waiting.append(request)

    def set_visibility(self, record: RunRecord, seconds: int) -> None:
        assert record.receipt_handle
        if self.failing:
            raise Unavailable("the run queue does not answer")
        self.hidden.append(seconds)

    def dead_letter(self, request: RunRequest) -> None:
        self.buried.append(replace(request, retry=True))

    def delete(self, deletion: Deletion) -> None:
        self.waiting.append(deletion)

    def take(self) -> RunRecord:
        return RunRecord(self.waiting.pop(0), "receipt")


@dataclass
class Schedule:
    """The control queue: checks wait with the delay they were given."""

    planned: list[tuple[Check, int]] = field(default_factory=list)
    failing: bool = False

    def check(self, check: Check, *, delay_s: int) -> None:
        if self.failing:
            raise Unavailable("the control queue does not answer")
        self.planned.append((check, delay_s))


class Scripted:
    """An agent that yields what it was given; an exception in the script is raised, a number is a pause in seconds."""

    def __init__(self, script: Sequence[AgentEvent | Exception | float]) -> None:
        self._script = script
        self.turns: list[Turn] = []

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        self.turns.append(turn)
        for step in self._script:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                yield step


_ERRORS = {410: "GoneException", 429: "LimitExceededException", 403: "ForbiddenException"}


class Connections:
    """@connections over HTTP: takes every post, or answers with `status`; a status of 0 hangs up."""

    def __init__(self) -> None:
        self.status = 200
        self.seen: list[tuple[str, bytes | None]] = []
        connections = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                connections.seen.append((unquote(self.path.rpartition("/")[2]), body))
                self.reply()

            def do_DELETE(self) -> None:
                connections.seen.append((unquote(self.path.rpartition("/")[2]), None))
                self.reply()

            def reply(self) -> None:
                if not connections.status:
                    self.close_connection = True
                    return
                self.send_response(connections.status)
                self.send_header("x-amzn-ErrorType", _ERRORS.get(connections.status, ""))
                body = json.dumps({"message": "x"}).encode() if connections.status >= 300 else b""
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/stage"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
