"""What each public method of storage is asked when one user names another's things (E7).

Ada has something of everything; `CASES` calls each method with what she has, once as Bob and once as herself. Which
methods there are is found by looking (`surface`), so that a new one without a case is noticed. Contexts have cases of
their own: `CONTEXT_CASES`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, is_dataclass
from typing import Any

import msgspec

from agentsocket import storage
from agentsocket.contexts.contract import Context, UserContexts
from agentsocket.errors import AgentSocketError
from agentsocket.storage.long_texts import Line
from agentsocket.storage.multipart import NewMessage, Part
from agentsocket.storage.rows import LogEvent, Run
from agentsocket.storage.thread_log import Lease
from agentsocket.storage.user import UserStorage

SECRET = "what only Ada may know"
MINE = "mine"  # a connection of that name both have
HERS = "hers"  # one that only Ada has
MESSAGE, LONG, PARTED, NEW = "short", "long", "parted", "new"  # messages, by their ids; hers but the last


@dataclass(frozen=True)
class Hers:
    """What Ada's things are called, as far as one cannot know it beforehand."""

    thread: str
    run: Run
    waiting: Run
    lease: Lease
    generation: str
    cursor: str


def message(message_id: str, content: str = SECRET, thread_id: str | None = None, sent_by: str = MINE) -> NewMessage:
    return NewMessage(message_id, content, thread_id, sent_by, agent="", context="{}")


def part(number: int) -> Part:
    return Part(message(PARTED, f"{SECRET} {number}", sent_by=MINE), number, 2)


def event(hers: Hers, name: str) -> Callable[[int], LogEvent]:
    return lambda seq: LogEvent(seq, name, hers.run.run_id, 1, SECRET.encode())


def events(hers: Hers, name: str) -> Callable[[int], list[LogEvent]]:
    return lambda seq: [event(hers, name)(seq)]


def connected(user: UserStorage) -> None:
    """What Bob has, too."""
    user.connections.open(MINE)


def prepared(user: UserStorage) -> Hers:
    """Ada, in the middle of a run and with something of everything."""
    connected(user)
    user.connections.open(HERS)
    user.connections.go_live(HERS, device=SECRET)
    accepted = user.runs.accept(message(MESSAGE))
    thread, run = accepted.thread.thread_id, accepted.run
    waiting = user.runs.accept(message(LONG, SECRET * 1200, thread)).run
    lease = Lease(f"worker of {SECRET}", run.run_id, 1)
    generation = user.connections.subscribe(HERS, thread, cursor=0)
    listed, _ = user.threads.page(limit=10)
    hers = Hers(thread, run, waiting, lease, generation, f"{listed[0].activity + 1}.{thread}")
    user.log(thread).take_lease(lease)
    user.log(thread).start(run, lease, events(hers, "first"), seq=1, question=Line(MESSAGE, "user", SECRET))
    user.uploads.add(part(1))
    user.threads.create("command", title=SECRET, metadata={"of": SECRET})
    user.quotas.admit(waiting.run_id, 1)
    user.quotas.begin(run)
    user.quotas.charge(100)
    return hers


@dataclass(frozen=True)
class Case:
    """A call of a method with Ada's things. `before` is what Ada does first, so that it can matter to her.

    `pure`: the method asks the table nothing, it computes. `tells_nothing`: its answer is the same for everybody.
    """

    call: Callable[[UserStorage, Hers], Any]
    before: Callable[[UserStorage], Any] | None = None
    pure: bool = False
    tells_nothing: bool = False


def asking(call: Callable[[UserStorage, Hers], Any], **options: Any) -> Case:
    return Case(call, **options)


def computing(call: Callable[[UserStorage, Hers], Any]) -> Case:
    return Case(call, pure=True)


def _revoked(user: UserStorage) -> None:
    user.revocations.revoke(session="", not_before=2**40)


def _row(user: UserStorage) -> Any:
    """The row of a connection whose token is good, but for revocations."""
    opened = {"token_exp": 2**40, "token_iat": 0, "session": "s", "opened_at": 0, "checks": 0, "subscriptions": {}}
    return {**opened, "connection_id": HERS, "state": "live"}


CASES: dict[str, list[Case]] = {
    "runs.accept": [
        asking(lambda user, hers: user.runs.accept(message(NEW, thread_id=hers.thread))),
        asking(lambda user, hers: user.runs.accept(message(NEW, SECRET * 1200, thread_id=hers.thread))),
        asking(lambda user, hers: user.runs.accept(message(NEW, sent_by=HERS))),
        asking(lambda user, hers: user.runs.accept(message(MESSAGE))),
        asking(lambda user, hers: user.runs.accept(message(MESSAGE, "another text"))),
    ],
    "runs.duplicate": [asking(lambda user, hers: user.runs.duplicate(hers.run))],
    "enter": [
        asking(lambda user, hers: user.enter(MINE, hers.thread)),
        asking(lambda user, hers: user.enter(HERS, hers.thread)),
    ],
    "new_id": [computing(lambda user, hers: user.new_id())],
    "now": [computing(lambda user, hers: user.now())],
    "runs.queued": [
        asking(lambda user, hers: user.runs.queued(hers.run.run_id, hers.thread)),
        asking(lambda user, hers: user.runs.queued(user.runs.id_of(MESSAGE), hers.thread)),
    ],
    "reachable": [asking(lambda user, hers: user.reachable(), tells_nothing=True)],
    "runs.retry": [asking(lambda user, hers: user.runs.retry(hers.run))],
    "runs.get": [
        asking(lambda user, hers: user.runs.get(hers.run.run_id)),
        asking(lambda user, hers: user.runs.get(user.runs.id_of(MESSAGE))),
    ],
    "runs.id_of": [computing(lambda user, hers: user.runs.id_of(MESSAGE))],
    "runs.stop": [
        asking(lambda user, hers: user.runs.stop(hers.run.run_id, connection_id=MINE, known=True)),
        asking(lambda user, hers: user.runs.stop(hers.run.run_id, connection_id=MINE, known=False)),
        asking(lambda user, hers: user.runs.stop(hers.run.run_id, connection_id=HERS, known=False)),
    ],
    # Sockets.
    "connections.admission": [computing(lambda user, hers: user.connections.admission(HERS))],
    "connections.admit": [computing(lambda user, hers: user.connections.admit([None, None]))],
    "connections.count_check": [asking(lambda user, hers: user.connections.count_check(HERS, 7))],
    "connections.remove": [asking(lambda user, hers: user.connections.remove(HERS))],
    "connections.go_live": [asking(lambda user, hers: user.connections.go_live(HERS, device="d"))],
    "connections.notifiable": [asking(lambda user, hers: user.connections.notifiable())],
    "connections.activity": [asking(lambda user, hers: user.connections.activity())],
    "connections.move_cursor": [
        asking(
            lambda user, hers: user.connections.move_cursor(HERS, hers.thread, generation=hers.generation, cursor=9)
        ),
    ],
    "connections.open": [asking(lambda user, hers: user.connections.open(HERS))],
    "connections.refresh": [
        asking(
            lambda user, hers: user.connections.refresh(HERS, token_exp=2**40, token_iat=2**39, session="another"),
        )
    ],
    "connections.require_admitted": [asking(lambda user, hers: user.connections.require_admitted(HERS))],
    "connections.require_authorized": [asking(lambda user, hers: user.connections.require_authorized(HERS))],
    "revocations.require_token": [asking(lambda user, hers: user.revocations.require_token(), before=_revoked)],
    "connections.require_valid": [
        asking(lambda user, hers: user.connections.require_valid(_row(user)), before=_revoked)
    ],
    "revocations.revoke": [asking(lambda user, hers: user.revocations.revoke(session="s", not_before=2**40))],
    "connections.subscribe": [
        asking(lambda user, hers: user.connections.subscribe(HERS, hers.thread, cursor=1)),
        asking(lambda user, hers: user.connections.subscribe(HERS, hers.thread, cursor=1, only=True)),
    ],
    "connections.unsubscribe": [asking(lambda user, hers: user.connections.unsubscribe(HERS, hers.thread))],
    # What a user may ask for.
    "quotas.admit": [asking(lambda user, hers: user.quotas.admit(hers.run.run_id, 1))],
    "quotas.begin": [asking(lambda user, hers: user.quotas.begin(hers.waiting))],
    "quotas.charge": [asking(lambda user, hers: user.quotas.charge(5))],
    "quotas.connect": [asking(lambda user, hers: user.quotas.connect())],
    "quotas.end": [asking(lambda user, hers: user.quotas.end(hers.run.run_id))],
    "quotas.spend": [asking(lambda user, hers: user.quotas.spend(3))],
    "quotas.take_back": [asking(lambda user, hers: user.quotas.take_back(hers.waiting.run_id))],
    # Threads.
    # Dead tokens.
    "revocations.of_session": [asking(lambda user, hers: user.revocations.of_session(""), before=_revoked)],
    "revocations.rows_of": [computing(lambda user, hers: user.revocations.rows_of("s"))],
    "threads.create": [
        asking(lambda user, hers: user.threads.create("command", title="a title", metadata={})),
    ],
    "threads.get": [asking(lambda user, hers: user.threads.get(hers.thread))],
    "threads.of": [computing(lambda user, hers: user.threads.of(None))],
    "threads.page": [
        asking(lambda user, hers: user.threads.page(limit=10)),
        asking(lambda user, hers: user.threads.page(limit=10, before=hers.cursor)),
    ],
    "threads.rename": [asking(lambda user, hers: user.threads.rename(hers.thread, "a title"))],
    "threads.renew_epoch": [asking(lambda user, hers: user.threads.renew_epoch(hers.thread))],
    "threads.row": [computing(lambda user, hers: user.threads.row(hers.thread, title="a title", metadata={}))],
    "threads.touched": [computing(lambda user, hers: user.threads.touched(hers.thread))],
    # All of it.
    "erasure.is_swept": [asking(lambda user, hers: user.erasure.is_swept(hers.thread))],
    "erasure.is_known": [asking(lambda user, hers: user.erasure.is_known(), tells_nothing=True)],
    "erasure.remaining": [asking(lambda user, hers: user.erasure.remaining())],
    "erasure.revoke_tokens": [asking(lambda user, hers: user.erasure.revoke_tokens(not_before=2**40))],
    "erasure.remove_rows": [asking(lambda user, hers: user.erasure.remove_rows(live=True))],
    "erasure.retained": [asking(lambda user, hers: user.erasure.retained(), before=_revoked)],
    "erasure.threads": [asking(lambda user, hers: user.erasure.threads())],
    # Messages in parts.
    "uploads.add": [asking(lambda user, hers: user.uploads.add(part(2)))],
    "uploads.close": [asking(lambda user, hers: user.uploads.close(PARTED))],
    # A thread's log.
    "log().append": [asking(lambda user, hers: user.log(hers.thread).append(hers.lease, event(hers, "next"), seq=2))],
    "log().events": [asking(lambda user, hers: user.log(hers.thread).events(after=0, limit=10))],
    "log().finish": [
        asking(
            lambda user, hers: user.log(hers.thread).finish(
                hers.lease, events(hers, "last"), seq=2, outcome="success", answer=Line("answer", "assistant", "text")
            )
        )
    ],
    "log().history": [asking(lambda user, hers: user.log(hers.thread).history(up_to=9, limit=10))],
    "log().messages": [asking(lambda user, hers: user.log(hers.thread).messages(up_to=9, limit=10))],
    "log().meta": [asking(lambda user, hers: user.log(hers.thread).meta())],
    "log().renew_lease": [asking(lambda user, hers: user.log(hers.thread).renew_lease(hers.lease, top=5))],
    "log().start": [
        asking(
            lambda user, hers: user.log(hers.thread).start(
                hers.waiting, hers.lease, events(hers, "next"), seq=2, question=Line(LONG, "user", "text", True)
            )
        )
    ],
    "log().take_lease": [
        asking(lambda user, hers: user.log(hers.thread).take_lease(hers.lease)),
        asking(lambda user, hers: user.log(hers.thread).take_lease(Lease("another", hers.run.run_id, 1))),
    ],
    "log().top": [asking(lambda user, hers: user.log(hers.thread).top())],
    "log().contents.is_long": [computing(lambda user, hers: user.log(hers.thread).contents.is_long(SECRET))],
    "log().contents.keep": [computing(lambda user, hers: user.log(hers.thread).contents.keep(NEW, SECRET * 1200))],
    "log().contents.page": [
        asking(lambda user, hers: user.log(hers.thread).contents.page(MESSAGE, 0)),
        asking(lambda user, hers: user.log(hers.thread).contents.page(LONG, 0)),
    ],
    "log().contents.transcribe": [
        computing(lambda user, hers: user.log(hers.thread).contents.transcribe(3, Line(NEW, "user", "text")))
    ],
    "log().contents.whole": [asking(lambda user, hers: user.log(hers.thread).contents.whole(LONG))],
    # A deletion.
    "thread_deletion().end_run": [
        asking(lambda user, hers: user.thread_deletion(hers.thread).end_run(hers.run.run_id, owner=hers.lease.owner))
    ],
    "thread_deletion().finish": [asking(lambda user, hers: user.thread_deletion(hers.thread).finish(hers.lease))],
    "thread_deletion().end_runs": [asking(lambda user, hers: user.thread_deletion(hers.thread).end_runs())],
    "thread_deletion().hide": [asking(lambda user, hers: user.thread_deletion(hers.thread, by="command").hide())],
    "thread_deletion().require": [asking(lambda user, hers: user.thread_deletion(hers.thread, by="command").require())],
    "thread_deletion().sweep": [asking(lambda user, hers: user.thread_deletion(hers.thread).sweep())],
}


# Contexts.


@dataclass(frozen=True)
class Remembered:
    """What is remembered of Ada: of herself, and in one of her threads."""

    thread: str
    profile: Context
    notes: Context


def remembered(user: UserContexts, thread: str) -> Remembered:
    """Have something remembered of Ada."""
    profile = user.own.save("profile", {"of": SECRET}, version=0)
    return Remembered(thread, profile, user.of_thread(thread).save("notes", {"of": SECRET}, version=0))


CONTEXT_CASES: dict[str, list[Callable[[Any, Remembered], Any]]] = {
    "own.load": [lambda user, hers: user.own.load("profile")],
    "own.save": [
        lambda user, hers: user.own.save("profile", {}, version=hers.profile.version),
        lambda user, hers: user.own.save("profile", {}, version=0),
    ],
    "of_thread().load": [lambda user, hers: user.of_thread(hers.thread).load("notes")],
    "of_thread().save": [
        lambda user, hers: user.of_thread(hers.thread).save("notes", {}, version=hers.notes.version),
        lambda user, hers: user.of_thread(hers.thread).save("notes", {}, version=0, lifetime_s=60),
        lambda user, hers: user.of_thread(hers.thread).save("other", {}, version=0),
    ],
    "delete_thread": [lambda user, hers: user.delete_thread(hers.thread)],
    "erase": [lambda user, hers: user.erase()],
    "threads": [lambda user, hers: user.threads()],
    "own.find": [lambda user, hers: user.own.find("profile")],
    "own.store": [
        lambda user, hers: user.own.store("profile", "{}", version=hers.profile.version, lifetime_s=None),
    ],
    "own.remove_all": [lambda user, hers: user.own.remove_all()],
    "of_thread().find": [lambda user, hers: user.of_thread(hers.thread).find("notes")],
    "of_thread().store": [
        lambda user, hers: user.of_thread(hers.thread).store("notes", "{}", version=0, lifetime_s=None),
    ],
    "of_thread().remove_all": [lambda user, hers: user.of_thread(hers.thread).remove_all()],
}

# What not every store has, by where it is.
ONLY_IN = {
    "threads": ("dynamodb",),
    "own.find": ("dynamodb",),
    "own.store": ("dynamodb",),
    "own.remove_all": ("dynamodb", "tiered"),
    "of_thread().find": ("dynamodb",),
    "of_thread().store": ("dynamodb",),
    "of_thread().remove_all": ("dynamodb", "tiered"),
}


def surface(opened: object, prefix: str = "") -> Iterator[str]:
    """The public methods of an object of the package, and of those that it has or opens: `log().contents.page`."""
    for name in dir(opened):
        if name.startswith("_"):
            continue
        value = getattr(opened, name)
        if _opens(type(value)):
            yield from surface(value, f"{prefix}{name}.")
        elif callable(value) and _opens(_returned(value)):
            yield from surface(_called(value), f"{prefix}{name}().")
        else:
            yield prefix + name


def _opens(kind: object) -> bool:
    """Whether it is a class of the package that does something, and is not a value."""
    if not isinstance(kind, type) or not kind.__module__.startswith("agentsocket."):
        return False
    return not is_dataclass(kind) and not issubclass(kind, (msgspec.Struct, AgentSocketError))


def _returned(method: Callable[..., Any]) -> object:
    """The class that a method says it returns, as far as that is one."""
    said = inspect.signature(method).return_annotation
    if not isinstance(said, str):
        return said
    # A class that its method alone loads stands in another module of the folder than the method.
    names = [f"{storage.__name__}.{module.name}" for module in pkgutil.iter_modules(storage.__path__)]
    modules = [sys.modules[method.__module__], *map(importlib.import_module, names)]
    return next((vars(module)[said] for module in modules if said in vars(module)), None)


def _called(method: Callable[..., Any]) -> object:
    """What a method opens that wants nothing but names."""
    needed = [each for each in inspect.signature(method).parameters.values() if each.default is each.empty]
    return method(*("x" for _ in needed))
