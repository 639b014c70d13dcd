"""The operator's command line, with the operator's own AWS credentials and region. See --help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from authservice import service_clients, wiring
from authservice.errors import Refusal, TransactionCancelled
from authservice.storage import Storage
from authservice.user_erasure import UserErasure
from lambdakit import aws_calls

_REGISTER_CLIENT = """\
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
_ERASE_USER = """\
example:
  python -m authservice erase-user --table my-stack-AuthTable-1ABC \\
    --issuer https://a1b2c3.execute-api.eu-west-1.amazonaws.com --subject ada

Ends and removes the sign-ins of a user, their refresh tokens, and what is known
of the last logout. Reads the whole table, since that knows no users. Remove the
user at your identity provider first, and everything else that is kept of them
then, by python -m agentsocket erase-user, which also closes open sockets.
Whatever goes wrong: run it again. The hash of an ID token that was exchanged in
the last minutes stays until it expires: it names nobody.
AWS credentials and region come from the environment or your profile; they need
dynamodb:BatchGetItem, BatchWriteItem, DeleteItem, Scan and UpdateItem on the table.
"""


def main(arguments: list[str]) -> int:
    """Exit status of the command line; what went wrong is on standard error."""
    given = _parser().parse_args(arguments)
    try:
        run: Callable[[argparse.Namespace], int] = given.run
        return run(given)
    except Refusal as error:
        print(f"authservice: {error}", file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as error:
        print(f"authservice: {aws_calls.fault_text(error)}", file=sys.stderr)
        return 1


def _register_client(given: argparse.Namespace) -> int:
    try:
        write, secret = service_clients.registration(given.id, given.scope, replace=given.replace)
        wiring.table(given.table).transact(write)
    except TransactionCancelled:
        print(f"authservice: client {given.id} exists already; --replace gives it a new secret", file=sys.stderr)
        return 1
    print(secret)
    return 0


def _erase_user(given: argparse.Namespace) -> int:
    table = wiring.table(given.table)
    storage = Storage(table, issuer=given.issuer, limits=wiring.limits())
    erasure = UserErasure(table, storage, issuer=given.issuer)
    removed = erasure.erase(given.subject)
    print(f"authservice: {', '.join(f'{count} {kind}' for kind, count in removed.items())} removed")
    if erasure.is_left(given.subject):
        print("authservice: the user has signed in meanwhile; run it again", file=sys.stderr)
        return 1
    print("authservice: checked: nothing of the user is left")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m authservice",
        description="Administers the auth service.",
        epilog=f"{_REGISTER_CLIENT}\n{_ERASE_USER}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    register = commands.add_parser(
        "register-client",
        help="register a client for client_credentials or introspection, and print its new secret",
        epilog=_REGISTER_CLIENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    register.set_defaults(run=_register_client)
    register.add_argument("--table", required=True, help="the auth table's name (output AuthTableName of the stack)")
    register.add_argument("--id", required=True, help="the client's id: 1 to 64 of A-Z a-z 0-9 _ . -")
    register.add_argument("--scope", required=True, help="its scopes, separated by spaces")
    register.add_argument("--replace", action="store_true", help="if it exists, replace its scopes and secret")
    erase = commands.add_parser(
        "erase-user",
        help="erase a user: remove all that is kept of them",
        epilog=_ERASE_USER,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    erase.set_defaults(run=_erase_user)
    erase.add_argument("--table", required=True, help="the auth table's name (output AuthTableName of the stack)")
    erase.add_argument("--issuer", required=True, help="the iss of the user's access tokens (output AuthUrl)")
    erase.add_argument("--subject", required=True, help="their sub")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
