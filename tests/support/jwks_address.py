"""An address that publishes a JSON Web Key Set, and does to its clients what an issuer might."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def key_set(*keys: Any) -> str:
    """A set as JSON."""
    return json.dumps({"keys": keys})


class Issuer:
    """A JWKS address: responds with whatever `answer` is, at first with `keys`, and counts the asking."""

    def __init__(self, *keys: Any) -> None:
        self.answer = key_set(*keys).encode()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                self.send_response(issuer.status)
                for name, value in issuer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(issuer.answer)

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def publish(self, *keys: Any) -> None:
        self.answer = key_set(*keys).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
