"""The adapters, made once per process from the settings: one cached getter each, and the only `boto3.Session`.

Imports stand inside the getters, so that a function pays at cold start for what it uses and no more.
"""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar

from agentsocket import settings
from agentsocket.limits import Limits

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config

    from agentsocket.auth.jwks import Keys
    from agentsocket.aws.control_queue import ControlQueue
    from agentsocket.aws.management_api import ManagementApi
    from agentsocket.aws.run_queue import RunQueue
    from agentsocket.contexts.contract import ContextStore
    from agentsocket.contexts.redis_client import RedisServer
    from agentsocket.control.connection_checks import ConnectionChecks
    from agentsocket.http_api.api import Api
    from agentsocket.inputs import Upgrade
    from agentsocket.principal import Principal
    from agentsocket.runtime import Runtime
    from agentsocket.settings import RedisAddress
    from agentsocket.storage.table import Table, Tables
    from agentsocket.storage.user import Storage

_THREADS = 16  # blocking calls at once in a worker: one append, renewals, and a dozen connections' posts


T = TypeVar("T")


def _seam(make: Callable[..., T]) -> Callable[..., T]:
    """A getter of one adapter, which is made once.

    What boto3 loads and builds for it stays for good. Garbage collection would look through all of it, again and again:
    a fifth of a cold start. So it rests meanwhile, and leaves out afterwards what is there.
    """

    @functools.cache
    @functools.wraps(make)
    def made(*args: Any, **options: Any) -> T:
        gc.disable()
        try:
            return make(*args, **options)
        finally:
            gc.freeze()
            gc.enable()

    return made


@functools.cache
def limits() -> Limits:
    """The numbers of this deployment."""
    return settings.limits()


@functools.cache
def admit() -> Callable[[Upgrade], Principal]:
    """Who may connect, by this deployment's issuer, audience, keys, origins, and demand for introspection."""
    from agentsocket.auth import handshake, tokens

    return functools.partial(
        handshake.admit,
        verify=verify(),
        verify_ticket=_introspected(_by(tokens.verify_ticket)),
        origins=origins(),
        token_in_query=settings.token_in_query(),
    )


@functools.cache
def verify() -> Callable[[str], Principal]:
    """Who an access token stands for, asking the auth service where this deployment demands it.

    What it returns raises TokenRejected, or Unavailable when it cannot be known.
    """
    from agentsocket.auth import tokens

    return _introspected(_by(tokens.verify))


@functools.cache
def verify_locally() -> Callable[[str], Principal]:
    """Who an access token stands for, by signature and claims alone; what it returns raises as `tokens.verify` does.

    The settings are checked now, the libraries loaded with the first token: few connections refresh one.
    """
    settings.trust()

    def check(token: str) -> Principal:
        from agentsocket.auth import tokens

        return _by(tokens.verify)(token)

    return check


def _by(rule: Callable[..., Principal]) -> Callable[[str], Principal]:
    trust, keys = settings.trust(), _keys()

    def check(token: str) -> Principal:
        return rule(token, keys=keys, issuer=trust.issuer, audience=trust.audience, now=time.time(), limits=limits())

    return check


@functools.cache
def _keys() -> Keys:
    from agentsocket.auth.jwks import Keys

    trust = settings.trust()
    return Keys(trust.jwks, trust.jwks_url, limits=limits())


def _introspected(local: Callable[[str], Principal]) -> Callable[[str], Principal]:
    from agentsocket.auth import introspection

    demand, privileged, active = settings.introspection().demand, settings.introspection().privileged, _active()

    def check(token: str) -> Principal:
        return introspection.check(local(token), token, demand=demand, privileged=privileged, active=active)

    return check


@functools.cache
def _active() -> Callable[[str], bool]:
    """One for the process: access tokens and tickets share its circuit."""
    from agentsocket.auth.introspection import AuthService

    service = settings.introspection()
    return AuthService(service.url, service.client, service.secret, limits=limits()).active


@_seam
def storage(*, epochs: bool = False, per_user: bool = False, table: str = "") -> Storage:
    """The table. `epochs`: this function tells clients epochs, so it must know the deployment's generation.

    `per_user`: it has no access of its own to the table in a deployment where each user's role is assumed. `table`: an
    operator names it, and no environment does.
    """
    from agentsocket.storage.user import Storage

    generation = settings.generation() if epochs else ""
    return Storage(_tables(per_user=per_user, name=table), limits=limits(), generation=generation)


@_seam
def _tables(*, per_user: bool, name: str) -> Tables:
    role = settings.tenant_role() if per_user else ""
    if not role:
        return _table(name)
    from agentsocket.storage.role_per_user import Tenants

    return Tenants(_session().client("sts", config=_config()), role, _table, limits=limits(), now=time.time)


def _table(name: str = "", **credentials: Any) -> Table:
    from agentsocket.storage.table import Table

    client: Any = _session().client("dynamodb", config=_config(), **credentials)
    return Table(client, name or settings.table(), now=time.time)


@_seam
def contexts(*, per_user: bool = False, table: str = "") -> ContextStore:
    """What is remembered of users, where this deployment keeps it. `per_user` and `table` as for `storage`."""
    from agentsocket.contexts.dynamodb import TableContexts

    chosen, deployment = settings.contexts(), table or settings.table()
    rows = TableContexts(_tables(per_user=per_user, name=table), limits=limits())
    if chosen.redis is None:
        return rows
    if chosen.store == "redis":
        from agentsocket.contexts.redis_store import RedisContexts

        return RedisContexts(_redis(chosen.redis), deployment, limits=limits(), now=time.time)
    from agentsocket.contexts.tiered import TieredContexts

    return TieredContexts(rows, _redis(chosen.redis), deployment, limits=limits())


def _redis(at: RedisAddress) -> RedisServer:
    from agentsocket.contexts.redis_client import RedisServer

    login = {"username": at.username, "password": at.password}
    return RedisServer(at.host, at.port, tls=at.tls, cluster=at.cluster, limits=limits(), **login)


@_seam
def run_queue(*, dead_letters: bool = False) -> RunQueue:
    """The run queue, and for who may dead-letter a run the dead-letter queue."""
    from agentsocket.aws.run_queue import RunQueue

    return RunQueue(
        _session().client("sqs", config=_config()),
        queue=settings.run_queue(),
        dead_letters=settings.dead_letter_queue() if dead_letters else "",
    )


@_seam
def control_queue(*, queue: str = "") -> ControlQueue:
    """The control queue, for what must be looked at later. `queue` as `table` for `storage`."""
    from agentsocket.aws.control_queue import ControlQueue

    return ControlQueue(_session().client("sqs", config=_config()), queue=queue or settings.control_queue())


@functools.cache
def control() -> ConnectionChecks:
    """What is due on quiet sockets."""
    from agentsocket.control.connection_checks import ConnectionChecks

    return ConnectionChecks(
        storage=storage(),
        control_queue=control_queue(),
        management_api=management_api(),
        limits=limits(),
        now=time.time,
    )


@functools.cache
def api() -> Api:
    """The paths of the HTTP API."""
    from agentsocket.http_api.api import Api

    return Api(
        storage=storage(),
        contexts=contexts(),
        run_queue=run_queue(),
        management_api=management_api(),
        verify=verify(),
        now=time.time,
    )


def origins() -> Collection[str]:
    """The web origins that may ask."""
    return settings.origins()


@_seam
def management_api() -> ManagementApi:
    """@connections. botocore finds the address in the environment; `settings` makes sure it is there."""
    from agentsocket.aws.management_api import ManagementApi

    settings.management_endpoint()
    return ManagementApi(_session().client("apigatewaymanagementapi", config=_config(max_connections=_THREADS)))


def agent_names() -> Collection[str]:
    """The agents a client may name."""
    from agentsocket.agents.catalog import AGENTS

    return AGENTS.keys()


@functools.cache
def runtime() -> Runtime:
    """Real time, and a bounded pool of threads for blocking calls."""
    import asyncio
    import random
    from concurrent.futures import ThreadPoolExecutor

    from agentsocket.runtime import Runtime

    threads = ThreadPoolExecutor(_THREADS)

    async def offload(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        call = functools.partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(threads, call)

    return Runtime(time.time, asyncio.sleep, random.uniform, offload, limits())


@functools.cache
def _session() -> boto3.Session:
    import boto3

    return boto3.Session()


def _config(max_connections: int = 10) -> Config:
    """Explicit time-outs (delivery.md, Lease and attempts): the SDK's own minute would outlive a lease."""
    from botocore.config import Config

    return Config(
        connect_timeout=1,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=max_connections,
    )
