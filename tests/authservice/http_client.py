"""A client of the handler: HTTP API events of payload format 2.0 in, status, headers and JSON out."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

FORM = "application/x-www-form-urlencoded"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.json["error"]


def event(
    method: str, path: str, *, headers: Mapping[str, str], body: str | None, encoded: bool = False
) -> dict[str, Any]:
    """What API Gateway hands to Lambda, shortened to what is always there."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": dict(headers),
        "requestContext": {"http": {"method": method, "path": path, "sourceIp": "192.0.2.10"}, "stage": "$default"},
        **({} if body is None else {"body": body}),
        "isBase64Encoded": encoded,
    }


class Caller:
    """Calls a handler as an HTTP client would."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        encoded: bool = False,
    ) -> Answer:
        raw = self._handler(event(method, path, headers=headers or {}, body=body, encoded=encoded), None)
        return Answer(raw["statusCode"], raw["headers"], raw["body"])

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, headers=headers)

    def post(self, path: str, *, bearer: str = "", basic: Any = None, **form: str) -> Answer:
        headers = {"content-type": FORM}
        if bearer:
            headers["authorization"] = f"Bearer {bearer}"
        if basic:
            headers["authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode()
        return self.send("POST", path, headers=headers, body=urlencode(form))

    def exchange(self, id_token: str, **form: str) -> Answer:
        asked = {"grant_type": EXCHANGE, "subject_token": id_token, "subject_token_type": ID_TOKEN}
        return self.post("/oauth/token", **(asked | form))

    def refresh(self, token: str, **form: str) -> Answer:
        return self.post("/oauth/token", grant_type="refresh_token", refresh_token=token, **form)
