"""A Redis server, or a cluster of them, through redis-py: the only file that imports it. Valkey speaks the same.

Time-outs are explicit, and a call is made twice at most: once more when the connection was found dead, as after a
Lambda environment was frozen. What is called must therefore be safe to repeat. Nothing connects before the first call.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any

from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import NoScriptError, RedisClusterException, RedisError
from redis.retry import Retry

from agentsocket.errors import Unavailable
from agentsocket.limits import Limits

Client = Redis | RedisCluster

_logger = logging.getLogger(__name__)


class Script:
    """A Lua script; all keys that it is given must lie in one slot."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()  # Redis names scripts so


class RedisServer:
    """Commands of one server or cluster. Each raises Unavailable.

    The frequent ones go past redis-py's methods of their names, whose decorators cost a tenth of a call.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        limits: Limits,
        tls: bool = False,
        cluster: bool = False,
        username: str = "",
        password: str = "",
        ca_file: str | None = None,
    ) -> None:
        """`ca_file` has the certificates to trust, when they are not the system's."""
        self._kind: type[Client] = RedisCluster if cluster else Redis
        self._options: dict[str, Any] = {
            "host": host,
            "port": port,
            "username": username or None,
            "password": password or None,
            "socket_connect_timeout": limits.redis_connect_timeout_ms / 1000,
            "socket_timeout": limits.redis_timeout_ms / 1000,
            # A dead connection is worth another try; a server that is too slow would be again.
            "retry": Retry(NoBackoff(), 1, supported_errors=(NoConnection,)),
            "protocol": 2,  # a connection begins with one round trip less than by 3,
            "driver_info": None,  # and two less than by default
        }
        if tls:
            self._options |= {"ssl": True, "ssl_ca_certs": ca_file}
        if cluster:  # its nodes come and go: they are always looked up at the address given
            self._options["dynamic_startup_nodes"] = False
        self._client: Client | None = None
        self._lock = threading.Lock()

    def ping(self) -> None:
        self._call(lambda client: client.ping())

    def get(self, key: str) -> bytes | None:
        found: bytes | None = self._call(lambda client: client.execute_command("GET", key))
        return found

    def mark(self, key: str, *, lifetime_s: int) -> None:
        """Have the key exist for that long from now on."""
        self._call(lambda client: client.set(key, 1, ex=lifetime_s))

    def remove(self, keys: Sequence[str]) -> None:
        if keys:
            self._call(lambda client: client.delete(*keys))

    def members(self, key: str) -> list[str]:
        """Of a sorted set."""
        found: list[bytes] = self._call(lambda client: client.zrange(key, 0, -1))
        return [member.decode() for member in found]

    def discard(self, key: str, member: str) -> None:
        """Take out of a sorted set."""
        self._call(lambda client: client.zrem(key, member))

    def run(self, script: Script, keys: Sequence[str], *arguments: str | int) -> Any:
        """What the script returns. It is sent only when the server does not know it."""

        def run(client: Any) -> Any:
            try:
                return client.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                return client.execute_command("EVAL", script.text, len(keys), *keys, *arguments)

        return self._call(run)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _call(self, do: Callable[[Any], Any]) -> Any:
        try:
            return do(self._client or self._connected())
        except (RedisError, RedisClusterException, OSError) as error:
            # Not its text, which may hold what was sent.
            _logger.warning("redis_unavailable", extra={"error": type(error).__name__})
            raise Unavailable("the context store did not answer; retry") from error

    def _connected(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = self._kind(**self._options)
            return self._client
