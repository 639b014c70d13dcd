"""A DynamoDB client between a table and moto: somebody dies, comes in between, or has to say everything twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Action = Callable[[], None]


class Died(BaseException):
    """The process is no more. Nothing catches it."""


class Meddled:
    """Passes every call on. `before` and `after` hold what happens around the n-th call, counted from 0 at `reset`.

    What a command costs its user is passed on too, and not counted. With `twice`, every write is made two times, as
    the SDK does when the first answer is lost.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls = 0
        self.names: list[str] = []
        self.before: dict[int, Action] = {}
        self.after: dict[int, Action] = {}
        self.twice = False

    def reset(self) -> None:
        """Count from here on, and let everything pass."""
        self.calls, self.names = 0, []
        self.before, self.after = {}, {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(**parameters: Any) -> Any:
            if parameters.get("Key") and parameters["Key"]["SK"]["S"] == "QUOTA":
                return method(**parameters)
            number, self.calls = self.calls, self.calls + 1
            self.names.append(name)
            self.before.pop(number, _nothing)()
            answer = method(**parameters)
            if self.twice and name in ("put_item", "update_item"):
                answer = method(**parameters)
            self.after.pop(number, _nothing)()
            return answer

        return call


def die() -> None:
    raise Died


def _nothing() -> None:
    """Happens most of the time."""
