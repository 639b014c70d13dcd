"""One HTTP request and its answer, with nothing added: no redirects, no proxy, no cookies, every header as it came."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.support.waiting import TIME_FACTOR

PATIENCE_S = 20 * TIME_FACTOR
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Answer:
    """Status, headers by their names in lower case, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Form:
    """A form's fields, encoded."""

    content: bytes


def form(fields: dict[str, str]) -> Form:
    return Form(urlencode(fields).encode())


def ask(
    url: str,
    method: str = "GET",
    *,
    token: str | None = None,
    headers: dict[str, str] | None = None,
    body: Form | bytes | None = None,
) -> Answer:
    """Blocks until the answer is there. `token` goes as Bearer."""
    target = urlsplit(url)
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    if isinstance(body, Form):
        sent, body = FORM | sent, body.content
    connection = HTTPConnection(str(target.hostname), target.port, timeout=PATIENCE_S)
    try:
        path = f"{target.path}?{target.query}" if target.query else target.path
        connection.request(method, path or "/", body=body, headers=sent)
        response = connection.getresponse()
        received = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, received, response.read())
    finally:
        connection.close()
