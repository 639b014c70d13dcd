"""An endpoint on this machine that answers a worker's calls with as little work as can be, in a process of its own.

DynamoDB: reads answer from rows that were loaded, writes answer that they are done. SQS and @connections: done. It
notes when each request has come, by the clock that all processes of a machine share. `python -m benchmarks.loopback`
prints its port; its argument is how many milliseconds each answer waits.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Arrival = tuple[float, str]

_TIMEOUT_S = 30


class _Rows:
    """What reads find, by partition and sort key."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Any] = {}

    def load(self, rows: list[Any]) -> None:
        self._rows = {(row["PK"]["S"], row["SK"]["S"]): row for row in rows}

    def answer(self, operation: str, asked: Any) -> Any:
        if operation == "GetItem":
            found = self._at(asked["Key"])
            return {"Item": found} if found else {}
        if operation == "BatchGetItem":
            wanted = {name: [self._at(key) for key in table["Keys"]] for name, table in asked["RequestItems"].items()}
            return {"Responses": {name: [row for row in rows if row] for name, rows in wanted.items()}}
        if operation == "Query":
            return {"Items": self._query(asked)}
        return {}

    def _at(self, key: Any) -> Any:
        return self._rows.get((key["PK"]["S"], key["SK"]["S"]))

    def _query(self, asked: Any) -> list[Any]:
        """Of a partition what begins with a text, or lies between two."""
        texts = [value["S"] for value in asked["ExpressionAttributeValues"].values()]
        [partition] = [text for text in texts if text.startswith("USER#")]
        first, *last = sorted(text for text in texts if text != partition)
        until = last[0] if last else f"{first}\U0010ffff"
        return [row for (at, sort), row in self._rows.items() if at == partition and first <= sort <= until]


class _Endpoint(asyncio.Protocol):
    """HTTP/1.1, one request after another on each connection."""

    def __init__(self, rows: _Rows, arrivals: list[Arrival], delay_s: float) -> None:
        self._rows = rows
        self._arrivals = arrivals
        self._delay_s = delay_s
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        request, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) >= length:
            self._received = rest[length:]
            self._handle(request.split(" ")[1], headers.get("x-amz-target", "").rpartition(".")[2], rest[:length])

    def _handle(self, path: str, operation: str, body: bytes) -> None:
        if path == "/arrivals":
            self._answer(json.dumps(self._arrivals).encode())
            self._arrivals.clear()
        elif path == "/rows":
            self._rows.load(json.loads(body))
            self._answer(b"")
        else:
            partial = b'"partial_result"' in body and not operation
            self._arrivals.append((time.monotonic(), operation or ("partial" if partial else "post")))
            reading = operation in {"GetItem", "BatchGetItem", "Query"}
            answer = json.dumps(self._rows.answer(operation, json.loads(body))).encode() if reading else b"{}"
            if self._delay_s:
                asyncio.get_running_loop().call_later(self._delay_s, self._answer, answer)
            else:
                self._answer(answer)

    def _answer(self, body: bytes) -> None:
        kind = b"application/x-amz-json-1.0"
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)))
        self._transport.write(body)


class Loopback:
    """The endpoint as a client sees it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port

    def load(self, rows: list[Any]) -> None:
        """Have reads find these rows, in DynamoDB's JSON."""
        self._ask("/rows", json.dumps(rows).encode())

    def arrivals(self) -> list[Arrival]:
        """What has come since the last time: when (`time.monotonic`), and what: an operation, `post` or `partial`."""
        return [(when, what) for when, what in json.loads(self._ask("/arrivals", b""))]

    def _ask(self, path: str, body: bytes) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
        connection.request("POST", path, body)
        answer = connection.getresponse().read()
        connection.close()
        return answer


@contextmanager
def loopback(delay_ms: int) -> Iterator[Loopback]:
    """An endpoint for as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.loopback", str(delay_ms)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout as stdout:
        try:
            yield Loopback(int(stdout.readline()))
        finally:
            process.terminate()
            process.wait(_TIMEOUT_S)


async def _serve(delay_s: float) -> None:
    rows, arrivals = _Rows(), list[Arrival]()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Endpoint(rows, arrivals, delay_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]) / 1000))
