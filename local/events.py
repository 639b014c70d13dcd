"""The files of `events/`: one Lambda event each, with placeholders where a committed value would expire.

Inside: which files there are, and filling them in. Kept out: sending them (`invoke.py`, and each function's tests).

A placeholder stands in double braces inside a JSON string:

    token:ada           an access token of the user whose subject is `ada`
    expired-token:ada   the same, an hour too old
    user:ada            that user's id in keys, 32 characters
    issuer              the issuer's address
    now, now+900        seconds since the epoch
    now_ms              milliseconds; the whole string becomes a number
    thread, run, receipt   a run that waits in the queue: whoever sends the event makes one first, and says which
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentsocket import principal
from local.errors import Unable

if TYPE_CHECKING:
    from local.issuer import Issuer

FOLDER = Path(__file__).resolve().parent.parent / "events"
WEB_ORIGIN = "https://app.example.com"  # the page that the browser events come from; allow it where they are to pass

_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")
_NUMBER = '"{{now_ms}}"'
_HOUR_S = 3600


def path(name: str) -> Path:
    """The event file of that name, in the current folder or in `events/`. Raises Unable, which lists all."""
    for candidate in (Path(name), FOLDER / name, FOLDER / f"{name}.json"):
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json")))
    raise Unable(f"There is no event file {name}; events/ has: {known}.")


def fill(text: str, *, issuer: Issuer, now: float, run: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The event in `text` with every placeholder filled in. `now` is in seconds since the epoch.

    `run` has `thread`, `run` and `receipt` for the worker's event. Raises Unable naming an unknown placeholder.
    """
    given = run or {}
    numbered = text.replace(_NUMBER, str(int(now * 1000)))
    filled = _PLACEHOLDER.sub(lambda found: _value(found[1], issuer, int(now), given), numbered)
    try:
        event: dict[str, Any] = json.loads(filled)
    except json.JSONDecodeError as error:
        raise Unable(f"The event is not JSON: {error.msg} at line {error.lineno}.") from None
    return event


def _value(placeholder: str, issuer: Issuer, now: int, run: Mapping[str, str]) -> str:
    """What takes the place of one placeholder, as it may stand inside a JSON string."""
    match placeholder.partition(":"):
        case ("token", ":", subject):
            return issuer.token(subject)
        case ("expired-token", ":", subject):
            return issuer.token(subject, ttl_s=-_HOUR_S, iat=now - 2 * _HOUR_S)
        case ("user", ":", subject):
            return principal.user_id(issuer.url, subject)
        case ("issuer", "", ""):
            return issuer.url
    if later := re.fullmatch(r"now(?:\+(\d+))?", placeholder):
        return str(now + int(later[1] or 0))
    if placeholder in run:
        return json.dumps(run[placeholder])[1:-1]
    if placeholder in ("thread", "run", "receipt"):
        raise Unable(f"The event needs a waiting run for {{{{{placeholder}}}}}: send message-user-message first.")
    raise Unable(f"The event has an unknown placeholder {{{{{placeholder}}}}}; local/events.py lists those it knows.")
