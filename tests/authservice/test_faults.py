"""Faults that a review found: each test is the sequence that went wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jwt
import pytest
from botocore.exceptions import ClientError

from authservice import key_set, wiring
from authservice.errors import SettingsError, Unavailable
from authservice.id_tokens import IssuerKeys
from authservice.limits import Limits
from authservice.storage import Storage
from tests.authservice.conftest import SESSION, caller
from tests.authservice.fakes import Issuer
from tests.support.fakes import Clock


class Slow(Storage):
    """Rows whose reading takes two seconds."""

    def __init__(self, storage, clock):
        self.__dict__.update(vars(storage))
        self.clock = clock

    def token_status(self, token):
        found = super().token_status(token)
        self.clock.advance(2)
        return found


def test_a_ticket_is_no_younger_than_the_look_at_its_session(auth, clock):
    """C3: the user logs out while the answer of the table is on its way; the logout must cover the ticket."""
    access = auth.sign_in()["access_token"]
    clock.advance(100)
    logged_out_at = int(clock())
    service = wiring.service(now=clock)
    slow = caller(replace(service, storage=Slow(service.storage, clock)))
    ticket = slow.post("/ticket", bearer=access).json["ticket"]
    assert jwt.decode(ticket, options={"verify_signature": False})["iat"] <= logged_out_at


def test_strangers_do_not_make_us_ask_an_issuer_that_is_down(shared_issuer: Issuer):
    clock = Clock()
    keys = IssuerKeys(f"{shared_issuer.url}/jwks", limits=Limits(), now=clock)
    shared_issuer.status, before = 500, shared_issuer.requests
    try:
        for _ in range(10):
            with pytest.raises(Unavailable):
                keys("anything")
        assert shared_issuer.requests == before + 1
    finally:
        shared_issuer.status = 200
    clock.advance(Limits().jwks_retry_s)
    assert keys(json.loads(shared_issuer.document)["keys"][0]["kid"])


class Hurried(Clock):
    """A clock for which ten seconds pass between two looks."""

    def __call__(self):
        self.advance(10)
        return self.now


def test_an_issuer_that_lets_its_keys_drip_does_not_keep_us(shared_issuer: Issuer):
    """Each wait may be short, and all of them together long."""
    kid = json.loads(shared_issuer.document)["keys"][0]["kid"]
    with pytest.raises(Unavailable):
        IssuerKeys(f"{shared_issuer.url}/jwks", limits=Limits(), elapsed=Hurried())(kid)


class Propagating:
    """KMS as it is for a role that was given its right a moment ago."""

    def __init__(self, kms, refusals, code="AccessDeniedException"):
        self._kms = kms
        self.refusals = refusals
        self._code = code

    def get_public_key(self, **parameters):
        if self.refusals:
            self.refusals -= 1
            raise ClientError({"Error": {"Code": self._code, "Message": ""}}, "GetPublicKey")
        return self._kms.get_public_key(**parameters)


def test_a_right_that_is_not_known_everywhere_yet_is_waited_for(environment):
    waited: list[float] = []
    slow: Any = Propagating(SESSION.client("kms"), refusals=2)
    assert json.loads(key_set.document(["signing-key"], kms=slow, sleep=waited.append))["keys"]
    assert waited == [2, 4]


@pytest.mark.parametrize(("refusals", "code"), [(9, "AccessDeniedException"), (1, "NotFoundException")])
def test_what_stays_refused_is_a_failure_with_its_reason(environment, refusals, code):
    refusing: Any = Propagating(SESSION.client("kms"), refusals, code)
    with pytest.raises(ClientError, match=code):
        key_set.document(["signing-key"], kms=refusing, sleep=lambda _: None)


def test_an_issuer_that_ends_in_a_slash_has_the_same_endpoints(auth):
    assert auth.call.get("//health").status == 200


@pytest.mark.parametrize("name", sorted(Limits.AT_MOST))
def test_what_would_undo_security_is_refused(name):
    most = Limits.AT_MOST[name]
    assert getattr(Limits(), name) <= most
    assert getattr(Limits.from_json(json.dumps({name: most})), name) == most
    with pytest.raises(SettingsError, match=f"{name} must be at most {most}"):
        Limits.from_json(json.dumps({name: most + 1}))
