"""Asking the auth service whether a token has been revoked (RFC 7662), and what to do when it does not answer.

Only tokens whose signature and claims have passed get here (`tokens.py`): a user's bad token is no failure of the
service. Failures are the service's own, each call that fails is answered by the policy below, and the circuit breaker
merely saves the time of calls that would fail too.
"""

from __future__ import annotations

import base64
import logging
import random
import time
from collections.abc import Callable, Collection
from typing import Literal
from urllib.parse import quote_plus, urlencode

from agentsocket import circuit_breaker, principal
from agentsocket.errors import TokenRejected, Unavailable
from agentsocket.limits import KB, Limits
from agentsocket.principal import Principal
from agentsocket.protocol import strict_json
from lambdakit import http_client

Demand = Literal["none", "privileged", "all"]
Mode = Literal["local", "live", "degraded", "refused"]
Verdict = Literal["active", "inactive", "passing failure", "failure"]

# What the deployment demands, whether the token has a privileged scope, and whether the service answers.
POLICY: dict[tuple[Demand, bool, bool], Mode] = {
    ("none", False, True): "local",
    ("none", False, False): "local",
    ("none", True, True): "local",
    ("none", True, False): "local",
    ("privileged", False, True): "local",
    ("privileged", False, False): "local",
    ("privileged", True, True): "live",
    ("privileged", True, False): "refused",
    ("all", False, True): "live",
    ("all", False, False): "degraded",
    ("all", True, True): "live",
    ("all", True, False): "refused",
}

_MAX_ANSWER_BYTES = 16 * KB
_MAX_NESTING = 8

_logger = logging.getLogger("agentsocket.auth.introspection")


def check(
    who: Principal, token: str, *, demand: Demand, privileged: Collection[str], active: Callable[[str], bool]
) -> Principal:
    """The principal of `token`, with its `auth_mode`. `active` asks the service, or raises Unavailable.

    Raises TokenRejected when the token has been revoked, and Unavailable when nobody knows and it must be known.
    """
    is_privileged = not who.scopes.isdisjoint(privileged)
    if POLICY[demand, is_privileged, True] == "local":
        return principal.checked(who, "local")
    try:
        if not active(token):
            raise TokenRejected("the token was revoked")
        answered = True
    except Unavailable:
        answered = False
    mode = POLICY[demand, is_privileged, answered]
    if mode == "refused":
        raise Unavailable("revocation of the token must be checked, but the auth service does not answer; retry")
    return principal.checked(who, mode)


class AuthService:
    """The introspection endpoint, asked by HTTP Basic. For one thread, as a Lambda function is.

    `now` and `sleep` are in seconds; `uniform(a, b)` draws a wait.
    """

    def __init__(
        self,
        url: str,
        client: str,
        secret: str,
        *,
        limits: Limits,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        # RFC 6749, section 2.3.1: both are form-encoded before they are joined.
        credentials = f"{quote_plus(client)}:{quote_plus(secret)}".encode()
        self._url = url
        self._headers = {
            "Authorization": "Basic " + base64.b64encode(credentials).decode(),
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        self._limits = limits
        self._now = now
        self._sleep = sleep
        self._uniform = uniform
        self._circuit = circuit_breaker.Circuit()
        self._rules = circuit_breaker.Rules(limits.breaker_failures, limits.breaker_open_ms / 1000)

    def active(self, token: str) -> bool:
        """Whether the service vouches for the token now. Raises Unavailable, at once while the circuit is open."""
        for attempt in range(self._limits.introspection_attempts):
            circuit = circuit_breaker.permit(self._circuit, now=self._now(), rules=self._rules)
            if circuit is None:
                break
            if attempt:
                self._sleep(self._uniform(0, self._limits.introspection_backoff_ms / 1000 * 2 ** (attempt - 1)))
            verdict = self._ask(token)
            known = verdict in ("active", "inactive")
            self._circuit = circuit_breaker.report(
                circuit, term=circuit.term, succeeded=known, now=self._now(), rules=self._rules
            )
            if known:
                return verdict == "active"
            if verdict == "failure":
                break
        raise Unavailable("the auth service does not answer; retry")

    def _ask(self, token: str) -> Verdict:
        """One call. What passes by itself may be tried again; refused credentials and nonsense stay what they are."""
        try:
            answer = http_client.request(
                "POST",
                self._url,
                headers=self._headers,
                body=urlencode({"token": token}).encode(),
                timeout_s=self._limits.introspection_timeout_ms / 1000,
                max_bytes=_MAX_ANSWER_BYTES,
            )
        except http_client.NoResponse as error:
            _logger.warning("introspection_failed", extra={"reason": str(error)})
            return "passing failure"
        verdict = _verdict(answer)
        if verdict not in ("active", "inactive"):
            reason = f"{http_client.host(self._url)} responded with status {answer.status}" + " and no verdict" * (
                answer.status == 200
            )
            _logger.warning("introspection_failed", extra={"reason": reason})
        return verdict


def _verdict(answer: http_client.Response) -> Verdict:
    if answer.status == 429 or answer.status >= 500:
        return "passing failure"
    try:
        found = strict_json.loads(answer.body.decode(), max_nesting=_MAX_NESTING) if answer.status == 200 else None
    except ValueError:
        return "failure"
    active = found.get("active") if isinstance(found, dict) else None
    if not isinstance(active, bool):
        return "failure"
    return "active" if active else "inactive"
