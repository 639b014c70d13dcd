"""Contexts in DynamoDB, with Redis in front: DynamoDB decides every write, Redis answers most reads.

    save: DynamoDB's compare-and-set, then Redis takes it if its version is newer
    load: Redis; what is not there is read from DynamoDB, and offered to Redis

What Redis holds is never older than a minute (`context_cache_s`), counted from when the read or write behind it began,
and an offer counts only for seconds after that: a slow reader cannot put back what has been replaced since. (Redis
compares that moment with its own clock; a Lambda's is a few milliseconds off.) So without a fault nobody reads what was
replaced before the read began, and after one a minute bounds it: whoever noticed the fault reads from DynamoDB until
all that Redis may have kept from before is over.

Redis never fails a call. A circuit breaker, one per process, spares the waits for a Redis that is away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from agentsocket import circuit_breaker
from agentsocket.contexts import contract
from agentsocket.contexts.contract import Context, State, StoredContext
from agentsocket.contexts.dynamodb import ContextRows, TableContexts, UserTableContexts
from agentsocket.contexts.redis_client import RedisServer, Script
from agentsocket.errors import Unavailable, VersionConflict
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.storage import keys
from agentsocket.storage.table import Clock

T = TypeVar("T")

OFFER_MS = 2000  # how long after its reading or writing began a context may be offered, or half an entry's life

# KEYS: the entry, and the tombstones of whom it belongs to.
# ARGV: version, record, when its reading or writing began, how long that counts, how long an entry lives (all in ms).
# What comes too late to be kept leaves its version for as long as others count: what is older neither stays nor comes.
OFFER = Script("""
local there = tonumber(string.match(redis.call('GET', KEYS[1]) or '', '^%d+'))
if there and there >= tonumber(ARGV[1]) then return 0 end
local time = redis.call('TIME')
local age = math.max(0, time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[3]))
if redis.call('EXISTS', unpack(KEYS, 2)) > 0 then
  redis.call('DEL', KEYS[1])
  return 0
elseif age > tonumber(ARGV[4]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', string.format('%.0f', tonumber(ARGV[5]) - age))
return 1
""")


class TieredContexts:
    """Contexts in DynamoDB, with Redis in front."""

    def __init__(
        self,
        table: TableContexts,
        server: RedisServer,
        deployment: str,
        *,
        limits: Limits,
        expiry: Clock = time.time,
        now: Clock = time.time,
    ) -> None:
        """`expiry` is the clock by which contexts end, the table's; `now` the one that Redis goes by. In seconds."""
        self._table = table
        self._cache = _Cache(server, limits=limits, expiry=expiry, now=now)
        self._deployment = f"{deployment}:cache"  # never what `redis_store.py` would take for the truth

    def for_user(self, principal: Principal) -> UserTieredContexts:
        """Open one user's contexts. No method past this point takes a user or a key."""
        scope = keys.redis_user(self._deployment, principal.user)
        return UserTieredContexts(self._table.for_user(principal), self._cache, scope)

    def state(self) -> State:
        """One read of the table, one round trip to Redis."""
        self._table.state()
        return "ok" if self._cache.answers() else "degraded"


class UserTieredContexts:
    """One user's contexts."""

    def __init__(self, table: UserTableContexts, cache: _Cache, scope: str) -> None:
        self._table = table
        self._cache = cache
        self._scope = scope
        self._tombstone = keys.redis_gone(scope)
        self.own = _Contexts(table.own, cache, scope, [self._tombstone])

    def of_thread(self, thread_id: str) -> _Contexts:
        scope = keys.redis_thread(self._scope, thread_id)
        return _Contexts(
            self._table.of_thread(thread_id), self._cache, scope, [self._tombstone, keys.redis_gone(scope)]
        )

    def delete_thread(self, thread_id: str) -> None:
        self.of_thread(thread_id).remove_all()

    def erase(self) -> None:
        self.own.remove_all()
        for thread_id in self._table.threads():
            self.delete_thread(thread_id)


class _Contexts:
    """The contexts of one scope: a user's, or a thread's. `gone` are the tombstones of that, the last its own."""

    def __init__(self, rows: ContextRows, cache: _Cache, scope: str, tombstones: list[str]) -> None:
        self._rows = rows
        self._cache = cache
        self._scope = scope
        self._tombstones = tombstones

    def load(self, name: str, *, fresh: bool = False) -> Context:
        """One GET; when it finds nothing, or is not asked, one read and one offer."""
        contract.require_name(name)
        stored = None if fresh else self._cache.get(self._key(name))
        if stored is None:
            stored = self._read(name)
        return stored.context(name) if stored else Context(name, {}, 0)

    def save(self, name: str, value: dict[str, Any], *, version: int, lifetime_s: int | None = None) -> Context:
        """One write of DynamoDB's, and one offer."""
        text = contract.encoded(name, value, lifetime_s, limits=self._cache.limits)
        started_at = self._cache.now()
        try:
            stored = self._rows.store(name, text, version=version, lifetime_s=lifetime_s)
        except VersionConflict:
            self._refresh(name)
            raise
        except Unavailable:
            self._cache.invalidate([self._key(name)])  # it may have been saved
            raise
        self._cache.offer(self._key(name), self._tombstones, stored, started_at)
        return Context(name, value, stored.version)

    def remove_all(self) -> None:
        """First the tombstone, so that nobody offers what is removed."""
        self._cache.block_offers(self._tombstones[-1])
        self._cache.invalidate([self._key(name) for name in self._rows.remove_all()])

    def _refresh(self, name: str) -> None:
        """What lost to another version may have been loaded from Redis: the next load must not find it there."""
        try:
            found = self._read(name)
        except Unavailable:
            found = None
        if found is None:
            self._cache.invalidate([self._key(name)])

    def _read(self, name: str) -> StoredContext | None:
        started_at = self._cache.now()
        stored = self._rows.find(name)
        if stored:
            self._cache.offer(self._key(name), self._tombstones, stored, started_at)
        return stored

    def _key(self, name: str) -> str:
        return keys.redis_context(self._scope, name)


class _Cache:
    """Redis, used as far as it answers and can be believed. For several threads."""

    def __init__(self, server: RedisServer, *, limits: Limits, expiry: Clock, now: Clock) -> None:
        self._server = server
        self._expiry = expiry
        self.limits = limits
        self.now = now
        self._rules = circuit_breaker.Rules(limits.breaker_failures, limits.breaker_open_ms / 1000)
        self._circuit = circuit_breaker.Circuit()
        self._lock = threading.Lock()
        self._distrusted_until = 0.0

    def get(self, key: str) -> StoredContext | None:
        """What Redis has there, unless that has expired or cannot be believed."""
        if self.now() < self._distrusted_until:
            return None
        record: bytes | None = self._try(lambda: self._server.get(key), None)
        if record is None:
            return None
        try:
            version, expires_at, text = record.split(b" ", 2)
            stored = StoredContext(text.decode(), int(version), int(expires_at))
        except ValueError:  # not ours
            return None
        return None if 0 < stored.expires_at <= self._expiry() else stored

    def offer(self, key: str, tombstones: list[str], stored: StoredContext, started_at: float) -> None:
        """Have Redis take a context that was read or written since `began`, unless it has a newer one."""
        record = f"{stored.version} {stored.expires_at} {stored.text}"
        lifetime = self.limits.context_cache_s * 1000
        arguments = (stored.version, record, int(started_at * 1000), min(OFFER_MS, lifetime // 2), lifetime)
        self._try(lambda: self._server.run(OFFER, [key, *tombstones], *arguments), None)

    def invalidate(self, entries: list[str]) -> None:
        self._try(lambda: self._server.remove(entries), None)

    def block_offers(self, key: str) -> None:
        """Take no offers for whom the key stands: all that were read before count no longer when it ends."""
        self._try(lambda: self._server.mark(key, lifetime_s=self.limits.context_cache_s), None)

    def answers(self) -> bool:
        def ping() -> bool:
            self._server.ping()
            return True

        return self._try(ping, False)

    def _try(self, call: Callable[[], T], otherwise: T) -> T:
        """What Redis says, or `otherwise`: then its entries are believed again when all of before are over."""
        with self._lock:
            permitted = circuit_breaker.permit(self._circuit, now=self.now(), rules=self._rules)
            self._circuit = permitted or self._circuit
        if permitted is None:
            self._distrust()
            return otherwise
        try:
            answer = call()
        except Unavailable:
            self._distrust()
            self._report(permitted, succeeded=False)
            return otherwise
        self._report(permitted, succeeded=True)
        return answer

    def _distrust(self) -> None:
        with self._lock:
            self._distrusted_until = max(self._distrusted_until, self.now() + self.limits.context_cache_s)

    def _report(self, permitted: circuit_breaker.Circuit, *, succeeded: bool) -> None:
        with self._lock:
            now, term = self.now(), permitted.term
            self._circuit = circuit_breaker.report(
                self._circuit, term=term, succeeded=succeeded, now=now, rules=self._rules
            )
