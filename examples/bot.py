"""A bot with the client library: asks one question, prints the answer as it comes, and ends with the run.

    AGENTSOCKET_TOKEN=$(make --silent token USER=ada) .venv/bin/python examples/bot.py 'Where does the money go?'

A second argument names the agent. AGENTSOCKET_URL names another server than the local stack. Exit status 0 says that
the run succeeded.
"""

import asyncio
import os
import sys

from agentsocket_client import AgentSocketError, Client, Frame, Runs

LOCAL_STACK = "ws://localhost:8080/live"


async def ask(url: str, token: str, question: str, agent: str | None = None) -> str:
    """Print the events of the question's run; returns its outcome, `success` among others."""
    runs = Runs()
    async with Client(url, token, name="example-bot") as client:
        accepted = await client.send_message(question, agent=agent)
        runs.accepted(accepted)
        async for frame in client.frames():
            show(frame)
            if frame["type"] == "thread_snapshot":  # the connection was away for longer than events are kept
                runs.snapshot(frame["payload"])
            runs.event(frame)
            if outcome := runs.outcome(accepted["run_id"]):
                return outcome
    return "unknown"


def show(frame: Frame) -> None:
    """The answer to standard output, everything else to standard error."""
    payload = frame["payload"]
    match frame["type"]:
        case "agent_thinking":
            print(f"[{payload['thought']}]", file=sys.stderr)
        case "tool_executing":
            print(f"[{payload['tool_name']} {payload['arguments']}]", file=sys.stderr)
        case "agent_started" if payload["attempt"] > 1:
            print(f"\n[attempt {payload['attempt']} begins anew]", file=sys.stderr)
        case "agent_error":
            print(f"[{payload['user_message']} {payload['suggested_action']}]", file=sys.stderr)
        case "partial_result":
            print(payload["content"], end="", flush=True)


def main(arguments: list[str]) -> int:
    token = os.environ.get("AGENTSOCKET_TOKEN", "")
    if len(arguments) not in {1, 2} or not token:
        print("usage: AGENTSOCKET_TOKEN=... bot.py QUESTION [AGENT]", file=sys.stderr)
        return 2
    try:
        outcome = asyncio.run(ask(os.environ.get("AGENTSOCKET_URL", LOCAL_STACK), token, *arguments))
    except AgentSocketError as error:
        print(f"bot: {error}", file=sys.stderr)
        return 1
    print()
    return 0 if outcome == "success" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
