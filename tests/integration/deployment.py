"""The whole laptop stack as one running program, and what a client can do to it.

It is started once for all its tests, by the command a person types; every frame it sends is checked against the
published schema. Users sign in as they do anywhere: an ID token is exchanged at the auth service.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote_plus
from uuid import uuid4

import boto3
import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from agentsocket.principal import user_id
from agentsocket_client import Client
from local.emulators.issuer import Issuer
from local.signin import EXCHANGE, ID_TOKEN
from local.tokens import AccessTokens
from tests.integration.http_request import Answer, ask, form
from tests.support import schema_check
from tests.support.lifeline import Tied
from tests.support.waiting import TIME_FACTOR

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".local"
PATIENCE_S = 20 * TIME_FACTOR  # longer than a run may be silent
STOP_S = 60 * TIME_FACTOR  # removes what each function process has unpacked, thousands of files

_FRAME_CHARACTERS = 8 * 1024  # at most 32 KB, whatever the characters

# Twenty models with names of many words make an answer that takes seven seconds to say.
LONG = "\n".join(
    f"2026-01-05T09:00:00Z,{' '.join(f'{letter}{number:02}' for letter in 'abcdefghijklmno')},1000,200,{number + 1}.00"
    for number in range(20)
)

Frame = dict[str, Any]


class Deployment:
    """A stack of our own: started by the command that people use, stopped with Ctrl-C."""

    def __init__(self, *options: str) -> None:
        self._process = Tied("local", "up", "--port", "0", *options, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("WebSocket URL: "):
            raise RuntimeError("the laptop stack did not start; what it says stands above")
        self.url = line.removeprefix("WebSocket URL: ").strip()
        port = self.url.split(":")[2].split("/")[0]
        self.facts = json.loads((STATE / "stacks" / f"{port}.json").read_text())
        self.auth, self.http = self.facts["auth"], self.facts["http"]
        self.issuer = Issuer(STATE, url=self.facts["issuer"])
        self.access = AccessTokens(self.aws("kms"), self.variables("auth")["SIGNING_KEY"], issuer=self.auth)

    def stop(self) -> None:
        """Ctrl-C, as a person does it; what does not end by itself is a failure."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(STOP_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def token(self, name: str = "ada", **claims: Any) -> str:
        """An access token by a real exchange; with `claims` one that has them, signed by the same key."""
        return self.access.token(name, **claims) if claims else str(self.login(name)["access_token"])

    def short_lived(self, name: str, ttl_s: int) -> tuple[str, dict[str, Any]]:
        """A token of a real sign-in that ends in so many seconds, and the sign-in."""
        login = self.login(name)
        real = jwt.decode(login["access_token"], options={"verify_signature": False})
        claims = {claim: real[claim] for claim in ("sid", "client_id", "scope", "iat")}
        return self.token(name, exp=int(time.time()) + ttl_s, **claims), login

    def login(self, name: str = "ada", groups: Sequence[str] = ()) -> dict[str, Any]:
        """What the exchange of a fresh ID token brings: access_token, refresh_token, expires_in, scope, …"""
        answer = self.exchange(self.issuer.id_token(name, groups=groups))
        assert answer.status == 200, answer.body
        answered: dict[str, Any] = answer.json()
        return answered

    def exchange(self, id_token: str) -> Answer:
        """Give an ID token to the auth service."""
        return self.grant(grant_type=EXCHANGE, subject_token=id_token, subject_token_type=ID_TOKEN)

    def refresh(self, refresh_token: str) -> Answer:
        """Give a refresh token to the auth service."""
        return self.grant(grant_type="refresh_token", refresh_token=refresh_token)

    def grant(self, headers: dict[str, str] | None = None, **fields: str) -> Answer:
        """Ask the auth service for tokens."""
        return ask(f"{self.auth}/oauth/token", "POST", body=form(fields), headers=headers)

    def logout(self, token: str) -> Answer:
        """End all of a user's sessions, as that user."""
        return self.asked("/oauth/logout", token)

    def revoke(self, token: str) -> Answer:
        """End the session that a token is of (RFC 7009)."""
        return ask(f"{self.auth}/oauth/revoke", "POST", body=form({"token": token}))

    def ticket(self, token: str) -> str:
        """A single-use connection ticket."""
        answer = self.asked("/ticket", token)
        assert answer.status == 200, answer.body
        return str(answer.json()["ticket"])

    def ticket_of(self, name: str, **claims: Any) -> str:
        """A ticket with any claims, signed by the same key as the real ones."""
        access = {"access_exp": int(time.time()) + 900}
        return self.access.token(name, typ="ticket+jwt", **access | claims)

    def asked(self, path: str, token: str) -> Answer:
        """What the auth service says to an empty POST with a Bearer token."""
        return ask(f"{self.auth}{path}", "POST", token=token)

    def introspect(self, token: str) -> dict[str, Any]:
        """What the auth service says of a token, asked as the deployment itself asks."""
        variables = self.variables("auth")
        credentials = ":".join(quote_plus(variables[f"INTROSPECTION_{name}"]) for name in ("CLIENT", "SECRET"))
        headers = {"Authorization": f"Basic {b64encode(credentials.encode()).decode()}"}
        answer = ask(f"{self.auth}/oauth/introspect", "POST", body=form({"token": token}), headers=headers)
        assert answer.status == 200, answer.body
        answered: dict[str, Any] = answer.json()
        return answered

    def threads(self, token: str | None) -> Answer:
        """What the HTTP API says to `GET /threads`."""
        return ask(f"{self.http}/threads", token=token)

    def user_id(self, name: str = "ada") -> str:
        """The user's id in keys."""
        return user_id(self.auth, name)

    def variables(self, function: str) -> dict[str, str]:
        """The environment of a deployed function."""
        described = self.aws("lambda").get_function_configuration(FunctionName=self.function(function))
        found: dict[str, str] = described["Environment"]["Variables"]
        return found

    def function(self, name: str) -> str:
        """The name that a function of the template was deployed under."""
        return str(self.facts["outputs"][f"{name.title()}FunctionName"])

    def aws(self, service: str, **options: str) -> Any:
        """A client of the local AWS, for looking behind the scenes."""
        return boto3.client(cast(Any, service), **(self.facts["aws"] | options))

    def aws_management(self) -> Any:
        """@connections, as an operator would call it."""
        return self.aws("apigatewaymanagementapi", endpoint_url=self.facts["management_endpoint"])

    @asynccontextmanager
    async def socket(
        self,
        token: str | None,
        *,
        subprotocols: Sequence[str] = (),
        headers: dict[str, str] | None = None,
        query: str = "",
    ) -> AsyncIterator[Socket]:
        """A bare WebSocket, before any hello."""
        given = {"Authorization": f"Bearer {token}"} if token is not None else {}
        offered = cast(Any, list(subprotocols) or None)
        url = f"{self.url}?{query}" if query else self.url
        opening = connect(url, additional_headers=given | (headers or {}), subprotocols=offered, open_timeout=60)
        async with opening as bare:
            yield Socket(bare)

    @asynccontextmanager
    async def live(self, name: str = "ada") -> AsyncIterator[Socket]:
        """A WebSocket that has said hello."""
        async with self.socket(self.token(name)) as opened:
            await opened.ask("hello", protocol=1)
            yield opened

    def client(self, name: str = "ada", **options: Any) -> Client:
        """The client library, with a fresh token at each connection unless `options` have another `token`."""

        async def fresh() -> str:
            return self.token(name)

        given: dict[str, Any] = {"url": self.url, "token": fresh, "connect": schema_check.connect} | options
        return Client(**given)


class Socket:
    """A WebSocket on which every frame is a valid one."""

    def __init__(self, bare: ClientConnection) -> None:
        self.bare = bare
        self.seen: list[Frame] = []

    async def send(self, text: str) -> None:
        """Send one message, in frames that API Gateway takes."""
        frames = [text[start : start + _FRAME_CHARACTERS] for start in range(0, len(text), _FRAME_CHARACTERS)]
        await self.bare.send(frames or "")

    async def receive(self) -> Frame:
        """The next frame, checked against the schema. Raises TimeoutError when none comes."""
        async with asyncio.timeout(PATIENCE_S):
            frame = schema_check.read(await self.bare.recv())
        self.seen.append(frame)
        return frame

    async def until(self, condition: Callable[[Frame], bool]) -> Frame:
        """Read on until a frame fits."""
        while True:
            frame = await self.receive()
            if condition(frame):
                return frame

    async def ask(self, kind: str, *, command_id: str = "", **payload: Any) -> Frame:
        """Send a command; its reply, whatever else comes in between."""
        command_id = command_id or uuid4().hex
        await self.send(json.dumps({"type": kind, "payload": payload, "id": command_id}))
        return await self.until(lambda frame: frame.get("reply_to") == command_id)

    async def news(self) -> list[Frame]:
        """Every push that had been on its way before the answer to one more command: all that have come so far."""
        await self.ask("ping")
        return [frame for frame in self.seen if "reply_to" not in frame]

    async def run(self, content: str, **payload: Any) -> list[Frame]:
        """Send a message; the events of its run, to the last."""
        message_id = payload.pop("message_id", None) or uuid4().hex
        accepted = await self.ask("user_message", content=content, message_id=message_id, **payload)
        run_id = accepted["payload"]["run_id"]
        return await self.events_of(run_id)

    async def events_of(self, run_id: str) -> list[Frame]:
        """Every event of a run, to the last; those that overtook its acceptance are among what was seen."""
        events = [frame for frame in self.seen if frame.get("run_id") == run_id and "seq" in frame]
        while not (events and is_last(events[-1])):
            frame = await self.receive()
            if frame.get("run_id") == run_id and "seq" in frame:
                events.append(frame)
        return events


async def refused(deployment: Deployment, token: str | None, **options: Any) -> int:
    """The HTTP status that answers the upgrade. Fails if the socket is opened."""
    with pytest.raises(InvalidStatus) as answer:
        async with deployment.socket(token, **options):
            pytest.fail("the socket was opened")
    return answer.value.response.status_code


def is_last(event: Frame) -> bool:
    """Whether a run's events end with this one."""
    failed = event["type"] == "agent_completed" and event["payload"]["outcome"] != "success"
    return bool(failed or event["type"] == "final_report")
