"""How a program on this machine comes to an access token: an ID token of the local issuer, exchanged, then refreshed.

The same requests, sent to a deployed stack's addresses, are what a program does there; only the first, which asks for
an ID token without any password, is the laptop's own.
"""

from collections.abc import Sequence
from typing import Any

import aiohttp

from local.errors import Unable

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # RFC 8693, section 2.1
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 (RFC 8693, section 3: a name)
TIMEOUT_S = 30


class Refused(Exception):
    """The auth service answered with an OAuth error; the text says which."""


class SignIn:
    """One user of a running stack."""

    def __init__(self, facts: dict[str, Any], user: str, *, groups: Sequence[str] = ()) -> None:
        """`facts` are what a stack publishes about itself. `groups` may become privileged scopes."""
        self._issuer, self._auth, self._user, self._groups = facts["issuer"], facts["auth"], user, list(groups)
        self._refresh_token = ""

    async def token(self) -> str:
        """A new access token: refreshed if that is possible, else by signing in. Raises Unable."""
        try:
            answer = await self._refreshed() or await self._exchanged()
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            raise Unable("The stack does not answer: start it again by `make up`.") from error
        except Refused as refusal:
            raise Unable(f"There is no token for {self._user!r}: {refusal}") from refusal
        self._refresh_token = answer.get("refresh_token", "")
        return str(answer["access_token"])

    async def _refreshed(self) -> dict[str, Any]:
        """What a refresh token brings; empty when there is none, or none that is good any more."""
        if not self._refresh_token:
            return {}
        given, self._refresh_token = self._refresh_token, ""
        try:
            return await post(f"{self._auth}/oauth/token", grant_type="refresh_token", refresh_token=given)
        except Refused:
            return {}

    async def _exchanged(self) -> dict[str, Any]:
        identity = await post_json(f"{self._issuer}/token", {"sub": self._user, "groups": self._groups})
        return await post(
            f"{self._auth}/oauth/token",
            grant_type=EXCHANGE,
            subject_token=identity["id_token"],
            subject_token_type=ID_TOKEN,
        )


async def post(url: str, **form: str) -> dict[str, Any]:
    """Send a form; the JSON of a 200. Raises Refused, OSError, TimeoutError and aiohttp.ClientError."""
    async with session() as opened, opened.post(url, data=form) as response:
        return await read(response)


async def post_json(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send JSON; otherwise as `post`."""
    async with session() as opened, opened.post(url, json=body) as response:
        return await read(response)


async def read(response: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        answer = await response.json()
    except ValueError as error:
        raise Refused(f"HTTP status {response.status}.") from error
    if response.status != 200:
        raise Refused(str(answer.get("error_description") or answer.get("error") or f"HTTP status {response.status}."))
    return dict(answer)


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
