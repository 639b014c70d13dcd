"""The files of `events/`: one Lambda event each, with placeholders where a committed value would expire.

Inside: which files there are, and filling them in. Kept out: sending them (`invoke.py`, and each function's tests).

A placeholder stands in double braces inside a JSON string:

    token:ada           an access token of the user whose subject is `ada`
    expired-token:ada   the same, an hour too old
    ticket:ada          a connection ticket of that user
    id-token:ada        an ID token of the identity issuer for that subject
    user:ada            that user's id in keys, 32 characters
    issuer              the access tokens' issuer, which is the auth service's address
    now, now+900        seconds since the epoch
    now_ms              milliseconds; the whole string becomes a number

and these, which whoever sends the event knows (LATER says how he comes to know them):

    thread, run, receipt   a run that waits in the queue
    signing-key            the key that signs access tokens
    introspection          what follows `Basic ` where the deployment itself asks the auth service
    response-url           where a custom resource's function answers
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentsocket import principal
from local.errors import Unable

if TYPE_CHECKING:
    from local.emulators.issuer import Issuer
    from local.tokens import AccessTokens

FOLDER = Path(__file__).resolve().parent.parent / "events"
WEB_ORIGIN = "https://app.example.com"  # the page that the browser events come from; allow it where they are to pass

_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")
_NUMBER = '"{{now_ms}}"'
_HOUR_S = 3600
_MINUTE_S = 60
LATER = {
    "thread": "a waiting run: send message-user-message first",
    "run": "a waiting run: send message-user-message first",
    "receipt": "a waiting run: send message-user-message first",
    "signing-key": "a deployed stack",
    "introspection": "a deployed stack",
    "response-url": "somebody who waits for the answer",
}


@dataclass(frozen=True)
class Signers:
    """Who signs the tokens in events."""

    access: AccessTokens
    identity: Issuer


def path(name: str) -> Path:
    """The event file of that name, in the current folder or in `events/`. Raises Unable, which lists all."""
    for candidate in (Path(name), FOLDER / name, FOLDER / f"{name}.json"):
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json")))
    raise Unable(f"There is no event file {name}; events/ has: {known}.")


def fill(text: str, *, signers: Signers, now: float, known: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The event in `text` with every placeholder filled in. `now` is in seconds since the epoch.

    `known` has values for names of LATER. Raises Unable naming a placeholder that is unknown or has no value.
    """
    numbered = text.replace(_NUMBER, str(int(now * 1000)))
    filled = _PLACEHOLDER.sub(lambda found: _value(found[1], signers, int(now), known or {}), numbered)
    try:
        event: dict[str, Any] = json.loads(filled)
    except json.JSONDecodeError as error:
        raise Unable(f"The event is not JSON: {error.msg} at line {error.lineno}.") from None
    return event


def _value(placeholder: str, signers: Signers, now: int, known: Mapping[str, str]) -> str:
    """What takes the place of one placeholder, as it may stand inside a JSON string."""
    match placeholder.partition(":"):
        case ("token", ":", subject):
            return signers.access.token(subject)
        case ("expired-token", ":", subject):
            return signers.access.token(subject, ttl_s=-_HOUR_S, iat=now - 2 * _HOUR_S)
        case ("ticket", ":", subject):
            return signers.access.token(subject, ttl_s=_MINUTE_S, typ="ticket+jwt", access_exp=now + 15 * _MINUTE_S)
        case ("id-token", ":", subject):
            return signers.identity.id_token(subject)
        case ("user", ":", subject):
            return principal.user_id(signers.access.issuer, subject)
        case ("issuer", "", ""):
            return signers.access.issuer
    if later := re.fullmatch(r"now(?:\+(\d+))?", placeholder):
        return str(now + int(later[1] or 0))
    if placeholder in known:
        return json.dumps(known[placeholder])[1:-1]
    if placeholder in LATER:
        raise Unable(f"The event needs for {{{{{placeholder}}}}} {LATER[placeholder]}.")
    raise Unable(f"The event has an unknown placeholder {{{{{placeholder}}}}}; local/events.py lists those it knows.")
