"""The commands of the laptop stack, which the Makefile calls: `python -m local up | token | client | erase-user | …`.

Inside: arguments, signals, which stack a command means, and turning every expected failure into one sentence and exit
status 1. Kept out: what the commands do, and importing it before it is asked for: Ctrl-C then stops in order from the
first moment on.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from local import state
from local.errors import Unable

DEFAULT_PORT = 8080
STOPPED_BY_SIGNAL = 130


def say(text: str) -> None:
    """One line of progress or one sentence of failure."""
    print(f"agentsocket: {text}", file=sys.stderr, flush=True)


# --- the commands


async def up(options: argparse.Namespace) -> int:
    """The stack in the foreground, until a signal."""
    from local.stack import Stack

    port = DEFAULT_PORT if options.port is None else options.port
    settings = {"limits": options.limits or "{}", "parameters": json.loads(options.parameters or "{}")}
    async with Stack(options.state, port=port, say=say, **settings) as stack:
        print(f"WebSocket URL: {stack.facts['url']}")
        print(f"Auth service URL: {stack.facts['auth']}")
        print(f"HTTP API URL: {stack.facts['http']}", flush=True)
        say(f"ready; in another terminal: make token PORT={stack.facts['port']}, or make chat; Ctrl-C stops it")
        raise Unable(f"ministack ended unexpectedly; its last words: {await stack.ended()}")


async def token(options: argparse.Namespace) -> int:
    """An access token for a running stack, by the exchange that any program does."""
    from local.signin import SignIn

    groups = options.groups.split() if options.groups else ()
    print(await SignIn(chosen_stack(options), options.user, groups=groups).token())
    return 0


async def client(options: argparse.Namespace) -> int:
    """Register a service with the auth service of a running stack; prints its secret, once."""
    from local.clients import register

    return await register(chosen_stack(options), options.id, options.scope)


async def erase_user(options: argparse.Namespace) -> int:
    """Remove everything that a running stack keeps of a user."""
    from local.clients import erase

    return await erase(chosen_stack(options), options.user)


async def chat(options: argparse.Namespace) -> int:
    """A chat with the running stack, or with one that lasts as long as the chat."""
    from local.stack import Stack, free_port

    if options.file and not options.file.exists():
        raise Unable(f"There is no file {options.file}.")
    stacks = matching(options.state, options.port)
    if stacks and not options.limits:
        say(f"using the stack that runs at {stacks[0]['url']}")
        return await talk(options, stacks[0])
    port = options.port if options.port is not None else free_port(DEFAULT_PORT, say)
    async with Stack(options.state, port=port, limits=options.limits or "{}", say=say) as stack:
        return await first_of(talk(options, stack.facts), stack.ended())


async def invoke(options: argparse.Namespace) -> int:
    """One event through one function in Lambda's own container."""
    from local.invoke import invoke as run

    if not (options.function and options.event):
        raise Unable("Say what to send where: make invoke FUNCTION=authorizer EVENT=events/authorizer-valid.json")
    return await run(options.function, options.event, folder=options.state)


# --- what they share


async def talk(options: argparse.Namespace, facts: dict[str, Any]) -> int:
    from local.chat.command import chat as open_chat
    from local.signin import SignIn

    user = SignIn(facts, options.user)
    return await open_chat(facts["url"], user.token, json_frames=options.json, file=options.file)


async def first_of(conversation: Coroutine[Any, Any, int], death: Coroutine[Any, Any, str]) -> int:
    """The chat's exit status, unless ministack dies first. Raises Unable then."""
    chatting, dying = asyncio.create_task(conversation), asyncio.create_task(death)
    try:
        await asyncio.wait((chatting, dying), return_when=asyncio.FIRST_COMPLETED)
        if chatting.done():
            return chatting.result()
        raise Unable(f"ministack ended unexpectedly; its last words: {dying.result()}")
    finally:
        for task in (chatting, dying):
            task.cancel()
        await asyncio.gather(chatting, dying, return_exceptions=True)


def matching(folder: Path, port: int | None) -> list[dict[str, Any]]:
    """The running stacks, or the one on `port`."""
    return [facts for facts in state.running(folder) if port is None or facts["port"] == port]


def chosen_stack(options: argparse.Namespace) -> dict[str, Any]:
    """The one stack that is meant. Raises Unable when there is none, or more than one."""
    found = matching(options.state, options.port)
    if not found:
        where = "" if options.port is None else f" on port {options.port}"
        raise Unable(f"No stack is running{where}: start one by `make up` in another terminal.")
    if len(found) > 1:
        ports = ", ".join(str(facts["port"]) for facts in found)
        raise Unable(f"Several stacks are running (ports {ports}): say which by PORT=.")
    return found[0]


# --- the command line


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="agentsocket on one machine")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_up(commands)
    add_token(commands)
    add_client(commands)
    add_erase_user(commands)
    add_chat(commands)
    add_invoke(commands)
    return parser


def add_command(commands: Any, name: str, run: Callable[[argparse.Namespace], Awaitable[int]]) -> Any:
    parser = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
    parser.set_defaults(run=run, quiet=name == "chat")
    parser.add_argument("--state", type=Path, default=state.DEFAULT, metavar="FOLDER", help="what is kept (.local)")
    return parser


def add_up(commands: Any) -> None:
    parser = add_command(commands, "up", up)
    parser.add_argument("--port", type=port_number, help=f"of the WebSocket ({DEFAULT_PORT}); 0 takes a free one")
    parser.add_argument("--limits", type=json_object, metavar="JSON", help="numbers of limits.py to replace")
    parser.add_argument("--parameters", type=json_texts, metavar="JSON", help="parameters of template.yaml to replace")


def add_token(commands: Any) -> None:
    parser = add_command(commands, "token", token)
    parser.add_argument("--user", default="ada", help="the subject of the token (ada)")
    parser.add_argument("--groups", help="groups that the user is in, separated by spaces")
    parser.add_argument("--port", type=port_number, help="of the stack, when several are running")


def add_client(commands: Any) -> None:
    parser = add_command(commands, "client", client)
    parser.add_argument("--id", required=True, help="the client id, such as ops")
    parser.add_argument("--scope", required=True, help="what it may do, separated by spaces, such as users:logout")
    parser.add_argument("--port", type=port_number, help="of the stack, when several are running")


def add_erase_user(commands: Any) -> None:
    parser = add_command(commands, "erase-user", erase_user)
    parser.add_argument("--user", required=True, help="the subject of the user's tokens")
    parser.add_argument("--port", type=port_number, help="of the stack, when several are running")


def add_chat(commands: Any) -> None:
    parser = add_command(commands, "chat", chat)
    parser.add_argument("--user", default="ada", help="who is chatting (ada)")
    parser.add_argument("--port", type=port_number, help="of the stack to use or to start")
    parser.add_argument("--limits", type=json_object, metavar="JSON", help="as of `up`; starts a stack of its own")
    parser.add_argument("--json", action="store_true", help="print the raw frames")
    parser.add_argument("--file", type=Path, help="send the content of this file as one message")


def add_invoke(commands: Any) -> None:
    parser = add_command(commands, "invoke", invoke)
    parser.add_argument("--function", required=True, help="a folder of functions/, such as authorizer")
    parser.add_argument("--event", required=True, help="a file of events/")


def port_number(text: str) -> int:
    if not (text.isdecimal() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return int(text)


def json_object(text: str) -> str:
    try:
        if isinstance(json.loads(text), dict):
            return text
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no JSON object such as {{}}")


def json_texts(text: str) -> str:
    found = json.loads(json_object(text))
    if all(isinstance(value, str) for value in found.values()):
        return text
    raise argparse.ArgumentTypeError("every template parameter is a text: put its value in quotes")


async def stopped_by_signals(work: Awaitable[int]) -> int:
    """Run `work`; SIGTERM and a closed terminal cancel it, as Ctrl-C does, so that it stops in order."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    return await task


def main() -> int:
    """Exit status of the command line."""
    options = arguments().parse_args()
    # What a person types in a chat must not be interleaved with warnings.
    logging.basicConfig(level=logging.ERROR if options.quiet else logging.WARNING, format="agentsocket: %(message)s")
    try:
        return asyncio.run(stopped_by_signals(options.run(options)))
    except Unable as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"This machine refuses: {error}.")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        with contextlib.suppress(BrokenPipeError):
            say("stopped")
        return 0 if options.run is up else STOPPED_BY_SIGNAL


if __name__ == "__main__":
    sys.exit(main())
