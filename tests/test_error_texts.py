"""Every text that the layers raise, read from the source: whoever meets it can do something about it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

import authservice.errors
from agentsocket import errors
from agentsocket.agents.contract import Report, Text
from agentsocket.errors import CommandError
from agentsocket.limits import DAY_S, Limits
from tests.support import text_rules
from tests.support.fakes import Scripted
from tests.support.size_budget import ROOT
from tests.support.world import World

OAUTH = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*")  # RFC 6749, section 5.2: error_description


class Raised(NamedTuple):
    """An error that is made in the source, and its text with an `x` for each value."""

    where: str
    error: type[Exception]
    text: str


def made() -> Iterator[Raised]:
    """Every call of an error class with a text, in both packages."""
    for package, tree in (("agentsocket", errors), ("authservice", authservice.errors)):
        classes = {name: value for name, value in vars(tree).items() if isinstance(value, type)}
        for path in sorted((ROOT / "layers" / package / "python" / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes:
                    text = literal(node.args[0]) if node.args else None
                    if text is not None:
                        yield Raised(f"{path.name}:{node.lineno}", classes[node.func.id], text)


def literal(node: ast.expr) -> str | None:
    """The text as the source has it; None where it is made elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values)  # type: ignore[misc]
    return None


def is_code(raised: Raised) -> bool:
    """A disconnect is made by its code, and has its words in a table (test_errors.py)."""
    return raised.error is errors.Disconnect


RAISED = [raised for raised in made() if not is_code(raised)]


@pytest.mark.parametrize("raised", RAISED, ids=[raised.where for raised in RAISED])
def test_a_text_says_what_and_what_to_do_in_nobody_s_words_but_ours(raised):
    assert text_rules.faults(raised.text) == []


@pytest.mark.parametrize("raised", RAISED, ids=[raised.where for raised in RAISED])
def test_a_description_has_the_characters_that_oauth_allows(raised):
    if issubclass(raised.error, authservice.errors.Refusal):
        assert OAUTH.fullmatch(raised.text)


INTERNAL = re.compile(r"DynamoDB|SQS|KMS|Redis|Lambda|\bS3\b")


@pytest.mark.parametrize("raised", RAISED, ids=[raised.where for raised in RAISED])
def test_a_client_is_told_nothing_of_what_is_behind(raised):
    """What an operator needs to know of it is the `cause`, which only the log gets."""
    if issubclass(raised.error, errors.CommandError | authservice.errors.Refusal):
        assert not INTERNAL.search(raised.text)


def test_no_text_of_a_library_or_a_service_is_handed_on_as_why_something_is_not_available():
    handed_on = [
        f"{path.name}:{node.lineno}"
        for path in sorted((ROOT / "layers").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Unavailable"
        if "error" in {name.id for part in node.args for name in ast.walk(part) if isinstance(name, ast.Name)}
    ]
    assert handed_on == []


def test_there_are_texts_to_look_at():
    assert len(RAISED) > 150
    assert {raised.error for raised in RAISED} > {errors.BadRequest, errors.NotFound, authservice.errors.InvalidGrant}


# Waits: the number that clients go by, and the text beside it.

SMALL = Limits(
    runs_per_day=2, max_waiting_runs=1, commands_per_s=1, command_burst=30, connects_per_min=2, max_uploads=1
)
WAIT = re.compile(r"retry after ([\d,]+) (s|min|h)\b")
UNIT_MS = {"s": 1000, "min": 60_000, "h": 3_600_000}
# How often a wait is given in each module: a further one needs a case below.
PLACES = {"quotas.py": 3, "multipart.py": 1}


@pytest.fixture
def limits():
    return SMALL


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, runtime, Scripted([Text("Yes."), Report()]))
    world.connect(ada, "a1")
    return world


def refused(step: Callable[..., object], *args: Any, **kwargs: Any) -> CommandError:
    with pytest.raises(CommandError) as error:
        step(*args, **kwargs)
    return error.value


async def too_many_runs_today(world, ada):
    for number in range(SMALL.runs_per_day):
        world.send(ada, "a1", "hi", message_id=f"m{number}")
        await world.work()
    return refused(world.send, ada, "a1", "hi", message_id="more")


async def too_many_runs_queued(world, ada):
    world.send(ada, "a1", "hi", message_id="m1")
    return refused(world.send, ada, "a1", "hi", message_id="m2")


async def too_many_commands(world, ada):
    for _ in range(SMALL.command_burst - 1):
        world.say(ada, "a1", "list_threads")
    return refused(world.say, ada, "a1", "list_threads")


async def too_many_connects(world, ada):
    world.open(ada, "a2")
    return refused(world.open, ada, "a3")


async def too_many_uploads(world, ada):
    world.say(ada, "a1", "user_message", content="x", message_id="m1", part=1, parts=2)
    return refused(world.say, ada, "a1", "user_message", content="x", message_id="m2", part=1, parts=2)


WAITS = [too_many_runs_today, too_many_runs_queued, too_many_commands, too_many_connects, too_many_uploads]


@pytest.mark.parametrize("refuse", WAITS)
async def test_a_wait_in_words_is_the_one_in_the_number(world, ada, clock, refuse):
    """Rounded up to its unit; or until midnight, to the millisecond."""
    error = await refuse(world, ada)
    wait_ms = error.retry_after_ms
    assert text_rules.faults(error.message) == []
    if "00:00 UTC" in error.message:
        assert (clock() * 1000 + wait_ms) % (DAY_S * 1000) == 0
        return
    said = WAIT.search(error.message)
    assert said, f"{error.message!r} does not say for how long"
    unit_ms = UNIT_MS[said[2]]
    assert wait_ms <= int(said[1].replace(",", "")) * unit_ms < wait_ms + unit_ms


def test_every_place_that_gives_a_wait_is_known_here():
    found = Counter(
        path.name
        for path in (ROOT / "layers" / "agentsocket").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and any(keyword.arg == "retry_after_ms" for keyword in node.keywords)
        and getattr(node.func, "id", "") in vars(errors)
    )
    assert found == PLACES


# Texts to the letter (house.md, section 4) of what only a user's rows can tell.


async def test_the_limit_of_a_day_is_named_with_its_end(world, ada):
    error = await too_many_runs_today(world, ada)
    assert error.message == "daily limit of 2 runs reached; it resets at 00:00 UTC"


async def test_the_limit_of_queued_runs_is_named(world, ada):
    error = await too_many_runs_queued(world, ada)
    assert re.fullmatch(r"1 runs? (is|are) already queued; retry after \d+ s", error.message)


@pytest.mark.parametrize("kind", ["list_threads", "get_thread_history"])
async def test_a_cursor_that_is_none_says_which_would_be_one(world, ada, kind):
    thread = world.send(ada, "a1", "hi", message_id="m1")["thread_id"]
    payload = {"cursor": "x"} if kind == "list_threads" else {"cursor": "x", "thread_id": thread}
    error = refused(world.say, ada, "a1", kind, **payload)
    assert error.message == "invalid cursor: pass the cursor of the previous page unchanged"


async def test_an_offset_beyond_the_end_names_both(world, ada):
    thread = world.send(ada, "a1", "x" * 812, message_id="m1")["thread_id"]
    await world.work()
    error = refused(world.say, ada, "a1", "get_content", thread_id=thread, message_id="m1", offset=900)
    assert error.message == "offset 900 is beyond the end (812 characters)"


@pytest.mark.parametrize("given", ["part", "parts"])
async def test_half_of_part_and_parts_says_what_is_missing(world, ada, given):
    error = refused(world.say, ada, "a1", "user_message", content="x", message_id="m1", **{given: 2})
    assert error.message == "part and parts must be given together"


def test_a_token_that_is_no_newer_says_what_it_must_be(world, storage, ada):
    """As the row decides, when two refresh at once: of one alone the command says more."""
    connections = storage.for_user(ada).connections
    error = refused(connections.refresh, "a1", token_exp=ada.expires_at, token_iat=ada.issued_at + 1, session="")
    later = "issued after the connection was admitted and expire later than the current one"
    assert error.message == f"the new token must be {later}"
