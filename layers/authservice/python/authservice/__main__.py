"""The operator's command line, with the operator's own AWS credentials and region. See --help."""

from __future__ import annotations

import argparse
import sys

from botocore.exceptions import BotoCoreError, ClientError

from authservice import clients, wiring
from authservice.errors import Refusal, TransactionCancelled

_EPILOG = """\
example:
  python -m authservice register-client --table my-stack-AuthTable-1ABC --id ops --scope "users:logout"

The secret is printed once and kept nowhere. With it the client asks for a token,
  curl -u ops:SECRET -d grant_type=client_credentials AUTH_URL/oauth/token
and with the scope users:logout that token logs a user out everywhere:
  curl -H "Authorization: Bearer TOKEN" -d sub=USER AUTH_URL/oauth/logout
The scope introspect lets the client use /oauth/introspect, by HTTP Basic.
AWS credentials and region come from the environment or your profile; they need
dynamodb:PutItem on the table.
"""


def main(arguments: list[str]) -> int:
    """Exit status of the command line; what went wrong is on standard error."""
    given = _parser().parse_args(arguments)
    try:
        write, secret = clients.registration(given.id, given.scope, replace=given.replace)
        wiring.table(given.table).transact(write)
    except TransactionCancelled:
        print(f"authservice: The client {given.id} exists; --replace gives it a new secret.", file=sys.stderr)
        return 1
    except (Refusal, BotoCoreError, ClientError) as error:
        print(f"authservice: {error}", file=sys.stderr)
        return 1
    print(secret)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m authservice",
        description="Administers the auth service.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    register = commands.add_parser(
        "register-client",
        help="register a client for client_credentials or introspection, and print its new secret",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    register.add_argument("--table", required=True, help="the auth table's name (output AuthTableName of the stack)")
    register.add_argument("--id", required=True, help="the client's id: 1 to 64 of A-Z a-z 0-9 _ . -")
    register.add_argument("--scope", required=True, help="its scopes, separated by spaces")
    register.add_argument("--replace", action="store_true", help="if it exists, replace its scopes and secret")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
