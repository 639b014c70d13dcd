"""Readers of environment variables. Each says in one sentence what is wrong with a variable, and what is right.

Which variables there are, and the environment itself, are the caller's; so is the error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")  # DynamoDB's own rule
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_QUOTED = 60  # characters
_EVERYBODY = frozenset({"*", "null"})


class Variables:
    """The variables of one environment. An empty one counts as not set.

    `error` makes what is raised, from a text that names the variable: the caller's own type.
    """

    def __init__(self, environment: Mapping[str, str], *, error: Callable[[str], Exception]) -> None:
        self._environment = environment
        self._error = error

    def optional(self, name: str) -> str:
        """The variable, or an empty text."""
        return self._environment.get(name, "")

    def required(self, name: str, what: str) -> str:
        """The variable, which must be set; `what` says what belongs there."""
        value = self.optional(name)
        if not value:
            raise self._error(f"{name} is not set; it must be {what}")
        return value

    def require_all(self, names: Sequence[str]) -> None:
        """One error for all that is missing of what belongs together."""
        missing = [name for name in names if not self.optional(name)]
        if missing:
            raise self._error(
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set; give all of them"
            )

    def spelled(self, name: str, pattern: re.Pattern[str], what: str) -> str:
        """A required variable of which the whole matches `pattern`; `what` says that in words."""
        value = self.required(name, what)
        if not pattern.fullmatch(value):
            raise self._error(f"{name} must be {what}, not {_quoted(value)}")
        return value

    def one_of(self, name: str, choices: Sequence[str]) -> str:
        """The variable, or the first choice when it is not set."""
        value = self.optional(name) or choices[0]
        if value not in choices:
            raise self._error(f"{name} must be {' or '.join(choices)}, not {_quoted(value)}")
        return value

    def table(self, name: str) -> str:
        """The name of a DynamoDB table."""
        return self.spelled(name, _TABLE, "the name of a DynamoDB table: 3 to 255 characters of A-Z a-z 0-9 _ . -")

    def address(self, name: str) -> str:
        """An address as AWS gives them: not secret, and plain http on a laptop."""
        what = "an https address"
        value = self.required(name, what)
        scheme, host, _ = _split(value)
        if scheme not in ("https", "http") or not host:
            raise self._error(f"{name} must be {what}, not {_quoted(value)}")
        return value

    def queue(self, name: str, *, fifo: bool = False) -> str:
        """The address of an SQS queue; `fifo` demands a FIFO queue."""
        value = self.address(name)
        if len(_split(value)[2]) < 2:
            raise self._error(f"{name} must be the https address of an SQS queue, not {_quoted(value)}")
        if fifo and not value.endswith(".fifo"):
            raise self._error(f"{name} must be the address of a FIFO queue, which ends in .fifo, not {_quoted(value)}")
        return value

    def secure(self, name: str) -> str:
        """An https address, or http to loopback: inside Lambda loopback reaches nothing (security.md, Tokens)."""
        what = "an https address (http only for localhost)"
        value = self.required(name, what)
        scheme, host, _ = _split(value)
        if not host or not (scheme == "https" or (scheme == "http" and host in _LOOPBACK)):
            raise self._error(f"{name} must be {what}; it is {_shown(scheme, host)}")
        return value

    def origins(self, name: str) -> frozenset[str]:
        """Web origins, separated by commas; none when it is not set. `*` and `null` would be everybody."""
        listed = frozenset(filter(None, (origin.strip() for origin in self.optional(name).split(","))))
        if refused := sorted(listed & _EVERYBODY):
            raise self._error(
                f"{name} must list origins such as https://app.example.com, separated by commas; "
                f"{' and '.join(refused)} would admit every page"
            )
        return listed


def _quoted(value: str) -> str:
    return repr(value if len(value) <= _MAX_QUOTED else f"{value[:_MAX_QUOTED]}…")


def _split(address: str) -> tuple[str, str, str]:
    """Scheme, host and path; all empty for what is no address."""
    if any(character.isspace() for character in address):
        return "", "", ""
    try:
        parts = urlsplit(address)
        return parts.scheme, parts.hostname or "", parts.path
    except ValueError:
        return "", "", ""


def _shown(scheme: str, host: str) -> str:
    """Of an address only this: its other parts may hold a password."""
    return f"{scheme}://{host}" if scheme and host else "no address"
