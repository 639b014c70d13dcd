"""Where tokens and tickets come from: the caller's string or functions. What is done with them is not here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from agentsocket_client.errors import ConnectionLost
from agentsocket_client.transport import Carrier, Form


@dataclass(frozen=True)
class Credential:
    """What one upgrade carries, and how."""

    carrier: Carrier
    value: str = field(repr=False)

    @property
    def token(self) -> str | None:
        """The access token that the connection will have; None: a ticket does not tell."""
        return None if self.carrier == "ticket" else self.value


class Credentials:
    """One user's. Nothing is kept: each use asks anew."""

    def __init__(
        self, token: str | Callable[[], Awaitable[str]], ticket: Callable[[], Awaitable[str]] | None, form: Form
    ) -> None:
        self._token, self._ticket, self._form = token, ticket, form

    @property
    def renewable(self) -> bool:
        """Whether there may ever be another token."""
        return not isinstance(self._token, str)

    async def token(self) -> str:
        """An access token. Raises whatever the caller's function does."""
        return self._token if isinstance(self._token, str) else await self._token()

    async def for_upgrade(self) -> Credential:
        """What the next upgrade is to carry. Raises ConnectionLost if that may be had later."""
        try:
            if self._ticket is not None:
                return Credential("ticket", await self._ticket())
            return Credential(self._form, await self.token())
        except OSError as error:  # TimeoutError is one too: whoever issues them is away for a while
            raise ConnectionLost(f"the token could not be obtained ({type(error).__name__})") from None
