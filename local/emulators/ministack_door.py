"""ministack behind a door: `python -m local.emulators.ministack_door HOST`, run by .tools on a socket it inherits.

ministack runs code for whoever reaches it. Its AUTH=true verifies the signatures of roles, but it takes the key `test`
and any twelve digits for the account's root without looking at the signature, and its own /_ministack paths ask for
nothing. So every request must name the access key that was made up for this start, or a role's session (whose
signature ministack then verifies), must address a host that leads here, and must not come from a web page.

Two things are asked without a key: whether it is healthy, and to hear the answer of a custom resource's function,
which CloudFormation told an address that nobody can guess.
"""

import asyncio
import importlib
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

# The whole header, so that nothing in it can be read in two ways.
CREDENTIAL = re.compile(
    rb"AWS4-HMAC-SHA256 Credential=([A-Z0-9]{20})/\d{8}/[a-z0-9-]+/[a-z0-9-]+/aws4_request"
    rb", ?SignedHeaders=[a-z0-9;-]+, ?Signature=[0-9a-f]{64}"
)
ROLE_SESSION = re.compile(rb"ASIA[A-Z0-9]{16}")
KEY_PARAMETERS = {b"x-amz-credential", b"awsaccesskeyid"}
KEYLESS = {
    "GET": re.compile(r"/_ministack/health"),
    "PUT": re.compile(r"/_ministack/cfn-response/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
}


class Door:
    """An ASGI application that lets through to `inner` what comes from the launcher or from a deployed function."""

    def __init__(self, inner: Application, *, access_key_id: str, hosts: Iterable[str]) -> None:
        self._inner = inner
        self._key = access_key_id.encode()
        self._hosts = {host.encode() for host in hosts}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and self._admits(scope)):
            await self._inner(scope, receive, send)
        elif scope["type"] == "http":
            await refuse(send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _admits(self, scope: Message) -> bool:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").rsplit(b":", 1)[0]
        if host not in self._hosts or b"origin" in headers:
            return False
        if scope["path"].startswith("/_ministack"):
            keyless = KEYLESS.get(scope["method"])
            return bool(keyless and keyless.fullmatch(scope["path"]))
        return names_one_key(scope) and self._knows(headers.get(b"authorization", b""))

    def _knows(self, authorization: bytes) -> bool:
        named = CREDENTIAL.fullmatch(authorization)
        return named is not None and (named[1] == self._key or ROLE_SESSION.fullmatch(named[1]) is not None)


def names_one_key(scope: Message) -> bool:
    """Whether there is one place only to read a key from: of several, ministack may believe another than we do."""
    headers = [name for name, _ in scope["headers"]]
    parameters = {name.lower() for name, _ in parse_qsl(scope["query_string"], keep_blank_values=True)}
    return headers.count(b"authorization") == 1 and not parameters & KEY_PARAMETERS


async def refuse(send: Send) -> None:
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def main() -> None:
    """Serve until the process is told to end. Standard output carries nothing; the log goes to standard error."""
    host, descriptor = sys.argv[1], sys.argv[2]
    ministack = importlib.import_module("ministack.app")
    hypercorn = importlib.import_module("hypercorn.asyncio")
    config = importlib.import_module("hypercorn.config").Config()
    config.bind, config.keep_alive_timeout, config.graceful_timeout = [f"fd://{descriptor}"], 75, 0.5
    config.loglevel = os.environ["LOG_LEVEL"]
    door = Door(ministack.app, access_key_id=os.environ["AWS_ACCESS_KEY_ID"], hosts=("127.0.0.1", "localhost", host))
    asyncio.run(hypercorn.serve(door, config))


if __name__ == "__main__":
    main()
