"""The operator's command line, with the operator's own AWS credentials and region. See --help."""

from __future__ import annotations

import argparse
import sys
import time

from botocore.exceptions import BotoCoreError, ClientError

from agentsocket import settings, wiring
from agentsocket.control.erase_user import EraseUser, Unknown
from agentsocket.errors import SettingsError, Unavailable
from lambdakit import aws_calls

_EPILOG = """\
example:
  python -m agentsocket erase-user --table my-stack-Table-1ABC \\
    --issuer https://a1b2c3.execute-api.eu-west-1.amazonaws.com --subject ada \\
    --control-queue https://sqs.eu-west-1.amazonaws.com/123456789012/my-stack-ControlQueue-1ABC

From the first step on no token of the user is accepted and runs end, from the
second on nothing of the user can be read; then threads, contexts, runs, quotas
and sockets' rows are removed, and it is checked that nothing is left. Whatever
goes wrong: run it again, it goes on where it was. What stays for a month at
most are ids and times: of deleted threads, and from when on tokens are refused.
A user of whom the table holds nothing is an error: nothing is written then.

Do these two things before: remove the user at your identity provider, and with
the auth service, python -m authservice erase-user. Otherwise who comes back is
a new user with an empty table.

Where contexts are kept in Redis, give what the functions have: CONTEXT_STORE,
REDIS_URL, REDIS_CLUSTER, REDIS_USERNAME and REDIS_PASSWORD in the environment,
and run this where that Redis can be reached. With CONTEXT_STORE=tiered it is
enough to leave them away: Redis forgets by itself within a minute. The last
line says which store it was.

AWS credentials and region come from the environment or your profile. They need
on the table dynamodb:BatchGetItem, BatchWriteItem, DeleteItem, GetItem, PutItem,
Query and UpdateItem, and sqs:SendMessage on the control queue.
"""
_WAIT_S = 30  # longer than any function but the worker may take; the worker looks twice a second

_CHECK = (
    "Check --issuer (it must be the iss of the tokens to the letter, also at its end), --subject (their sub),"
    " --table {table} and the region"
)
_HINT = "; give CONTEXT_STORE and REDIS_URL (and its others) if this deployment keeps them in Redis"


def main(arguments: list[str]) -> int:
    """Exit status of the command line; what went wrong is on standard error."""
    given = _parser().parse_args(arguments)
    try:
        erased = EraseUser(
            storage=wiring.storage(table=given.table),
            contexts=wiring.contexts(table=given.table),
            control_queue=wiring.control_queue(queue=given.control_queue) if given.control_queue else None,
            sleep=time.sleep,
            say=_say,
            wait_s=given.wait,
        ).run(given.issuer, given.subject)
        _say(f"contexts: {_contexts()}")
    except Unknown as error:
        print(f"agentsocket: {error}: nobody was erased. {_CHECK.format(table=given.table)}", file=sys.stderr)
        return 1
    except SettingsError as error:
        print(f"agentsocket: {error}", file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as error:
        print(f"agentsocket: {aws_calls.fault_text(error)}", file=sys.stderr)
        return 1
    except Unavailable as error:
        why = error.__cause__
        known = aws_calls.fault_text(why) if isinstance(why, BotoCoreError) else str(error)
        print(f"agentsocket: {known}: run it again, it goes on where it was", file=sys.stderr)
        return 1
    if not erased:
        print("agentsocket: rows of the user are still being written: run it again in a minute", file=sys.stderr)
    return 0 if erased else 1


def _contexts() -> str:
    """Which store was erased: an operator may have forgotten that it is another."""
    store = settings.contexts().store
    return store + (_HINT if store == "dynamodb" else "")


def _say(text: str) -> None:
    print(f"agentsocket: {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agentsocket",
        description="Administers a deployment.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    erase = commands.add_parser(
        "erase-user",
        help="remove everything that is kept of a user",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    erase.add_argument("--table", required=True, help="the table's name (output TableName of the stack)")
    erase.add_argument("--issuer", required=True, help="the iss of the user's access tokens (output AuthUrl)")
    erase.add_argument("--subject", required=True, help="their sub")
    erase.add_argument("--control-queue", help="address of the control queue (output ControlQueueUrl): closes sockets")
    erase.add_argument("--wait", type=float, default=_WAIT_S, help="seconds for what is under way (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
