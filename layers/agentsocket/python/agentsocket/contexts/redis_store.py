"""Contexts in Redis alone: fast, and as durable as that Redis is made.

What Redis loses is lost: switch its persistence on (appendonly), and know that a failover may lose what was saved in
the last moment, since replicas follow behind. Where that is too little, `tiered.py` has DynamoDB decide.

A context is one key: its version, who wrote it, whether it ends, and its JSON. A save is one script, so compare and set
are one, and so is the count; a load is one GET. All keys of a user have one hash tag.
"""

from __future__ import annotations

import json
from typing import Any

from agentsocket.contexts import contract
from agentsocket.contexts.contract import Context, State
from agentsocket.contexts.redis_client import RedisServer, Script
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.storage import keys
from agentsocket.storage.table import Clock

# KEYS: the context, the names of its scope; of a thread also its tombstone, and the names of the user's threads.
# ARGV: the version that must be there, the new record, its lifetime in ms (0: for ever), how many there may be, the
# context's name, the id of this write, the thread.
# Names are kept with the time at which they end, and so are threads: what a set still holds then has ended.
SAVE = Script("""
if KEYS[3] and redis.call('EXISTS', KEYS[3]) == 1 then return 'gone' end
local there = redis.call('GET', KEYS[1])
local version, write, ends = '0', '', '-'
if there then version, write, ends = string.match(there, '^(%d+) (%x+) (%S) ') end
if write == ARGV[6] then return 'saved' end
if version ~= ARGV[1] then return 'conflict' end
local lifetime = tonumber(ARGV[3])
if there and ends == '-' and lifetime == 0 then
  redis.call('SET', KEYS[1], ARGV[2])
  return 'saved'
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
if not there and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) then return 'full' end

local function note(key, member, until_ms)
  redis.call('ZADD', key, until_ms, member)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
  local last = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2]
  if last == 'inf' then redis.call('PERSIST', key) else redis.call('PEXPIREAT', key, last) end
  return last
end
local until_ms = 'inf'
if lifetime == 0 then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  until_ms = string.format('%.0f', now + lifetime)
end
until_ms = note(KEYS[2], ARGV[5], until_ms)
if KEYS[4] then note(KEYS[4], ARGV[7], until_ms) end
return 'saved'
""")


class RedisContexts:
    """Contexts in Redis. `deployment` keeps apart those that share a server; `now` makes versions, in seconds."""

    def __init__(self, server: RedisServer, deployment: str, *, limits: Limits, now: Clock) -> None:
        self._server = server
        self._deployment = deployment
        self._limits = limits
        self._now = now

    def for_user(self, principal: Principal) -> UserRedisContexts:
        """Open one user's keys. No method past this point takes a user or a key."""
        scope = keys.redis_user(self._deployment, principal.user)
        return UserRedisContexts(self._server, scope, limits=self._limits, now=self._now)

    def state(self) -> State:
        """One round trip."""
        self._server.ping()
        return "ok"


class UserRedisContexts:
    """One user's contexts in Redis."""

    def __init__(self, server: RedisServer, scope: str, *, limits: Limits, now: Clock) -> None:
        self._server = server
        self._scope = scope
        self._limits = limits
        self._now = now
        self._threads = keys.redis_threads(scope)
        self.own = _Contexts(server, scope, limits=limits, now=now)

    def of_thread(self, thread_id: str) -> _Contexts:
        scope, noted = keys.redis_thread(self._scope, thread_id), (self._threads, thread_id)
        return _Contexts(self._server, scope, limits=self._limits, now=self._now, noted=noted)

    def delete_thread(self, thread_id: str) -> None:
        """First the tombstone, so that nothing comes after what is removed."""
        gone = keys.redis_gone(keys.redis_thread(self._scope, thread_id))
        self._server.mark(gone, lifetime_s=self._limits.deleted_row_s)
        self._remove_thread(thread_id)

    def erase(self) -> None:
        for thread_id in self._server.members(self._threads):
            self._remove_thread(thread_id)
        self._remove_scope(self._scope)

    def _remove_thread(self, thread_id: str) -> None:
        self._remove_scope(keys.redis_thread(self._scope, thread_id))
        self._server.discard(self._threads, thread_id)

    def _remove_scope(self, scope: str) -> None:
        """The names last: whoever dies before that begins again."""
        names = self._server.members(keys.redis_names(scope))
        self._server.remove([keys.redis_context(scope, name) for name in names])
        self._server.remove([keys.redis_names(scope)])


class _Contexts:
    """The contexts of one scope: a user's, or a thread's. `noted`: the key that the thread is noted in, and its id."""

    def __init__(
        self, server: RedisServer, scope: str, *, limits: Limits, now: Clock, noted: tuple[str, str] | None = None
    ) -> None:
        self._server = server
        self._scope = scope
        self._limits = limits
        self._now = now
        self._thread = noted[1] if noted else ""
        self._beside = [keys.redis_names(scope), *([keys.redis_gone(scope), noted[0]] if noted else [])]

    def load(self, name: str, *, fresh: bool = False) -> Context:  # noqa: ARG002 (nothing else is ever read)
        """One GET."""
        contract.require_name(name)
        record = self._server.get(keys.redis_context(self._scope, name))
        if record is None:
            return Context(name, {}, 0)
        version, _, _, text = record.split(b" ", 3)
        return Context(name, json.loads(text.decode()), int(version))

    def save(self, name: str, value: dict[str, Any], *, version: int, lifetime_s: int | None = None) -> Context:
        """One script."""
        text = contract.encoded(name, value, lifetime_s, limits=self._limits)
        new, write_id = contract.next_version(version, self._now()), contract.new_write_id()
        record = f"{new} {write_id} {'-' if lifetime_s is None else '+'} {text}"
        outcome = self._server.run(
            SAVE,
            [keys.redis_context(self._scope, name), *self._beside],
            version,
            record,
            0 if lifetime_s is None else lifetime_s * 1000,
            self._limits.max_remembered,
            name,
            write_id,
            self._thread,
        )
        match outcome:
            case b"saved":
                return Context(name, value, new)
            case b"conflict":
                raise contract.version_conflict()
            case b"full":
                raise contract.limit_reached(self._limits)
        raise contract.thread_not_found()
