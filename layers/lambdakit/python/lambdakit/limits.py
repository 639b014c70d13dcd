"""The overrides of a deployment's limits: a JSON object of names and positive whole numbers, within bounds.

Which limits there are, their defaults and their bounds are the caller's; so is the error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any


def overrides(
    text: str,
    *,
    variable: str,
    defaults: Mapping[str, int],
    at_most: Mapping[str, int],
    at_least: Mapping[str, int] | None = None,
    below: tuple[tuple[str, str], ...] = (),
    error: Callable[[str], Exception],
) -> dict[str, int]:
    """What `text`, the content of `variable`, changes of `defaults`.

    `below` lists pairs of which the first must stay less than the second. Raises `error` with a text that names the
    limit, its value and what it may be.
    """
    wanted = _object(text, variable, next(iter(defaults)), error)
    for name, value in wanted.items():
        _check(name, value, variable, defaults, error)
        if value > at_most.get(name, value):
            raise error(f"{variable}: {name} must be at most {at_most[name]}, not {value}")
        if value < (at_least or {}).get(name, value):
            raise error(f"{variable}: {name} must be at least {(at_least or {})[name]}, not {value}")
    values = {**defaults, **wanted}
    wrong = [
        f"{less} ({values[less]}) must be less than {more} ({values[more]})"
        for less, more in below
        if values[less] >= values[more]
    ]
    if wrong:
        raise error(f"{variable}: {'; '.join(wrong)}")
    return wanted


def _object(text: str, variable: str, example: str, error: Callable[[str], Exception]) -> dict[str, Any]:
    advice = f'give an object such as {{"{example}": 5}}, or {{}} for the defaults'
    try:
        found = json.loads(text)
    except json.JSONDecodeError as mistake:
        raise error(f"{variable} is not JSON (at character {mistake.pos}): {advice}") from None
    except (ValueError, RecursionError):
        raise error(f"{variable} is not JSON that can be read: {advice}") from None
    if not isinstance(found, dict):
        raise error(f"{variable} must be a JSON object: {advice}")
    return found


def _check(
    name: str, value: object, variable: str, defaults: Mapping[str, int], error: Callable[[str], Exception]
) -> None:
    if name not in defaults:
        from difflib import get_close_matches  # for this error alone

        meant = "".join(f"; did you mean {close!r}?" for close in get_close_matches(name, defaults, n=1))
        raise error(f"{variable} names {name!r}, which is no limit{meant or '; limits.py lists them'}")
    if type(value) is not int or value <= 0:
        raise error(f"{variable}: {name} must be a positive whole number, not {json.dumps(value)}")
