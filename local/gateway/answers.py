"""What the gateway says on its own account: refused handshakes and error frames. Functions' answers are in proxy.py."""

import http
import json
from dataclasses import dataclass

from websockets.datastructures import Headers
from websockets.http11 import Response

INTERNAL_ERROR = "Internal server error"
FORBIDDEN = "Forbidden"
TIMED_OUT = "Endpoint request timed out"


@dataclass(frozen=True)
class Refusal:
    """A handshake that ends in an HTTP status. Without a message it has no body: the status is the function's own."""

    status: int
    message: str = ""


def error_frame(message: str, connection_id: str, request_id: str) -> str:
    """API Gateway's own frame, with AWS's spacing, since clients have been seen to compare it as text."""
    return f'{{"message": "{message}", "connectionId":"{connection_id}", "requestId":"{request_id}"}}'


def refused(refusal: Refusal, connection_id: str, request_id: str) -> Response:
    """The HTTP answer to a handshake that API Gateway or the $connect function refused."""
    body = error_frame(refusal.message, connection_id, request_id) if refusal.message else ""
    return _response(refusal.status, body, "application/json")


def forbidden() -> Response:
    """The HTTP answer to a path that is not the stage's."""
    return _response(http.HTTPStatus.FORBIDDEN, json.dumps({"message": FORBIDDEN}), "application/json")


def sentence(status: int, text: str) -> Response:
    """The HTTP answer to a request that AWS would never see: it tells the person at the laptop what to do."""
    return _response(status, text + "\n", "text/plain; charset=utf-8")


def _response(status: int, body: str, content_type: str) -> Response:
    content = body.encode()
    headers = Headers({"Connection": "close", "Content-Length": str(len(content)), "Content-Type": content_type})
    return Response(status, _phrase(status), headers, content)


def _phrase(status: int) -> str:
    known = {member.value: member.phrase for member in http.HTTPStatus}
    return known.get(status, "Unknown")
