"""POST /oauth/token with a refresh token: rotation, siblings, theft (C2; security.md, Exchange and refresh)."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from authservice import service_clients, wiring
from tests.authservice.conftest import SESSION, URL, caller

REFUSED = (400, "invalid_grant")
DAY_S = 86400


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def refreshed(auth, token, **form):
    answer = auth.call.refresh(token, **form)
    assert answer.status == 200, answer.body
    return answer.json


def revoked(auth, tokens):
    """The message that ends the family of these tokens."""
    claims = claims_of(tokens["access_token"])
    not_before = int(auth.clock()) + 30
    return {"revoke": {"iss": URL, "sub": claims["sub"], "sid": claims["sid"], "not_before": not_before}}


def test_refreshing_rotates_and_keeps_user_session_and_scope(auth):
    """A7, C2."""
    first = auth.sign_in("ada")
    auth.clock.advance(600)
    answer = auth.call.refresh(first["refresh_token"])
    assert answer.headers["Cache-Control"] == "no-store"
    second = answer.json
    assert second["refresh_token"] != first["refresh_token"]
    before, after = claims_of(first["access_token"]), claims_of(second["access_token"])
    assert after["exp"] == before["exp"] + 600
    assert after["jti"] != before["jti"]
    same = ("iss", "aud", "sub", "sid", "client_id", "scope")
    assert [after[name] for name in same] == [before[name] for name in same]
    assert auth.active(first["access_token"])
    assert auth.active(second["access_token"])


def test_reuse_of_an_old_token_revokes_the_family_and_tells_control(auth):
    """C2."""
    first = auth.sign_in()
    second = refreshed(auth, first["refresh_token"])
    auth.clock.advance(11)
    assert auth.call.refresh(first["refresh_token"]).error == REFUSED
    assert auth.notifications() == [revoked(auth, first)]
    assert auth.call.refresh(second["refresh_token"]).error == REFUSED
    assert not auth.active(first["access_token"])
    assert not auth.active(second["access_token"])
    assert auth.notifications() == [], "once is enough"


def test_another_family_of_the_same_user_lives_on(auth):
    stolen, other = auth.sign_in(), auth.sign_in()
    refreshed(auth, stolen["refresh_token"])
    auth.clock.advance(11)
    auth.call.refresh(stolen["refresh_token"])
    assert not auth.active(stolen["access_token"])
    assert auth.active(other["access_token"])
    refreshed(auth, other["refresh_token"])


def test_two_tabs_that_refresh_at_once_both_go_on(auth):
    first = auth.sign_in()
    tabs = [refreshed(auth, first["refresh_token"]) for _ in range(2)]
    assert tabs[0]["refresh_token"] != tabs[1]["refresh_token"]
    for _ in range(3):
        auth.clock.advance(840)
        tabs = [refreshed(auth, tab["refresh_token"]) for tab in tabs]
    assert all(auth.active(tab["access_token"]) for tab in tabs)
    assert auth.notifications() == []


def test_a_lost_answer_may_be_asked_for_again_within_ten_seconds(auth):
    first = auth.sign_in()
    refreshed(auth, first["refresh_token"])
    auth.clock.advance(10)
    again = refreshed(auth, first["refresh_token"])
    auth.clock.advance(11)
    refreshed(auth, again["refresh_token"])
    assert auth.notifications() == []


def test_a_slow_tab_may_lose_an_answer_too(auth):
    """The other tab is far ahead: that does not make a retry of this one theft."""
    first = auth.sign_in()
    fast, slow = (refreshed(auth, first["refresh_token"]) for _ in range(2))
    for _ in range(3):
        auth.clock.advance(900)
        fast = refreshed(auth, fast["refresh_token"])
    refreshed(auth, slow["refresh_token"])
    refreshed(auth, slow["refresh_token"])
    assert auth.notifications() == []


@pytest.mark.parametrize("which", [0, 1], ids=["the first successor", "the sibling"])
def test_once_any_successor_was_used_the_old_token_is_theft_at_once(auth, which):
    first = auth.sign_in()
    successors = [refreshed(auth, first["refresh_token"]) for _ in range(2)]
    refreshed(auth, successors[which]["refresh_token"])
    assert auth.call.refresh(first["refresh_token"]).error == REFUSED
    assert auth.notifications() == [revoked(auth, first)]
    assert auth.call.refresh(successors[1 - which]["refresh_token"]).error == REFUSED


def test_a_thief_who_comes_first_is_thrown_out_by_the_owner(auth):
    first = auth.sign_in()
    thiefs = refreshed(auth, first["refresh_token"])
    auth.clock.advance(3600)
    assert auth.call.refresh(first["refresh_token"]).error == REFUSED
    assert not auth.active(thiefs["access_token"])
    assert auth.call.refresh(thiefs["refresh_token"]).error == REFUSED


def test_reuse_is_noticed_for_as_long_as_the_successors_live(auth):
    """An old token's own seven days are over; its successor's are not."""
    first = auth.sign_in()
    auth.clock.advance(6 * DAY_S)
    second = refreshed(auth, first["refresh_token"])
    auth.clock.advance(5 * DAY_S)
    assert auth.call.refresh(first["refresh_token"]).error == REFUSED
    assert auth.call.refresh(second["refresh_token"]).error == REFUSED
    assert len(auth.notifications()) == 1


def test_a_refresh_token_lives_seven_days_and_no_longer(auth):
    first = auth.sign_in()
    auth.clock.advance(7 * DAY_S - 1)
    second = refreshed(auth, first["refresh_token"])
    auth.clock.advance(7 * DAY_S)
    assert auth.call.refresh(second["refresh_token"]).error == REFUSED
    assert auth.notifications() == [], "expired is not stolen"


def test_a_family_ends_after_thirty_days_however_often_it_is_refreshed(auth):
    token = auth.sign_in()["refresh_token"]
    for _ in range(5):
        auth.clock.advance(5 * DAY_S)
        token = refreshed(auth, token)["refresh_token"]
    auth.clock.advance(5 * DAY_S)
    assert auth.call.refresh(token).error == REFUSED


def test_less_scope_is_for_one_token_and_more_is_refused_without_using_the_token(auth):
    tokens = auth.sign_in(**{"cognito:groups": ["admin"]})
    assert auth.call.refresh(tokens["refresh_token"], scope="chat root").error == (400, "invalid_scope")
    second = refreshed(auth, tokens["refresh_token"], scope="chat")
    assert second["scope"] == claims_of(second["access_token"])["scope"] == "chat"
    assert refreshed(auth, second["refresh_token"])["scope"] == "admin chat"


@pytest.mark.parametrize("token", ["nonsense", "a" * 43, "é", "REFRESH#", "x" * 9000])
def test_what_is_no_refresh_token_is_an_invalid_grant(auth, token):
    assert auth.call.refresh(token).error == REFUSED


def test_an_access_token_or_another_client_s_name_refreshes_nothing(auth):
    tokens = auth.sign_in()
    assert auth.call.refresh(tokens["access_token"]).error == REFUSED
    assert auth.call.refresh(tokens["refresh_token"], client_id="other").error == REFUSED
    refreshed(auth, tokens["refresh_token"], client_id="app")


def test_every_failure_says_the_same(auth):
    """security.md, Exchange and refresh: nothing tells an expired token from an unknown or a stolen one."""
    stolen, expired = auth.sign_in(), auth.sign_in()
    refreshed(auth, stolen["refresh_token"])
    auth.clock.advance(7 * DAY_S)
    answers = [auth.call.refresh(token["refresh_token"]) for token in (stolen, stolen, expired)]
    answers.append(auth.call.refresh("unknown"))
    assert len({(answer.status, answer.body) for answer in answers}) == 1


def test_nothing_secret_is_stored(auth):
    tokens = auth.sign_in()
    second = refreshed(auth, tokens["refresh_token"])
    secret = auth.register("ops", "users:logout")[1]
    stored = str(auth.rows())
    for text in (tokens["refresh_token"], second["refresh_token"], tokens["access_token"], secret):
        assert text not in stored
    assert service_clients.digest(secret) in stored


def test_every_row_but_a_client_s_expires(auth):
    tokens = auth.sign_in()
    refreshed(auth, tokens["refresh_token"])
    auth.logout(auth.sign_in()["access_token"])
    auth.call.post("/oauth/revoke", token=auth.service_token())
    kinds = {row["PK"]["S"].partition("#")[0] for row in auth.rows()}
    assert kinds == {"FAMILY", "REFRESH", "IDTOKEN", "USER", "CLIENT", "TOKEN"}
    for row in auth.rows():
        assert ("expires_at" in row) is not row["PK"]["S"].startswith("CLIENT#")


def test_a_key_that_does_not_answer_uses_no_refresh_token_up(auth):
    tokens = auth.sign_in()
    auth.kms.status = 500
    for _ in range(2):
        auth.clock.advance(60)
        answer = auth.call.refresh(tokens["refresh_token"])
        assert answer.error == (503, "temporarily_unavailable")
        assert answer.headers["Retry-After"] == "1"
    auth.kms.status = 200
    refreshed(auth, tokens["refresh_token"])
    assert auth.notifications() == []


def test_a_queue_that_does_not_answer_delays_the_message_and_not_the_revocation(auth):
    """The row is written, the message is not sent: 503, and the next attempt sends it."""
    tokens = auth.sign_in()
    second = refreshed(auth, tokens["refresh_token"])
    auth.clock.advance(11)
    SESSION.client("sqs").delete_queue(QueueUrl=auth.queue)
    for _ in range(2):
        assert auth.call.refresh(tokens["refresh_token"]).error == (503, "temporarily_unavailable")
        assert not auth.active(second["access_token"])
    SESSION.client("sqs").create_queue(QueueName="control")
    expected = revoked(auth, tokens)
    auth.clock.advance(100)
    assert auth.call.refresh(second["refresh_token"]).error == REFUSED, "any token of the family will do"
    assert auth.notifications() == [expected]
    assert auth.call.refresh(tokens["refresh_token"]).error == REFUSED
    assert auth.notifications() == []


class BetweenReadAndWrite:
    """A DynamoDB client in which somebody else does something just before the first write."""

    def __init__(self, client, act):
        self._client = client
        self._act = act

    def __getattr__(self, name):
        return getattr(self._client, name)

    def transact_write_items(self, **parameters):
        self._interrupt()
        return self._client.transact_write_items(**parameters)

    def update_item(self, **parameters):
        self._interrupt()
        return self._client.update_item(**parameters)

    def _interrupt(self):
        act, self._act = self._act, lambda: None
        act()


def second(auth):
    """Another instance of the service, and its table."""
    service = wiring.service(now=auth.clock)
    table: Any = service.grants._storage._table
    return caller(service), table


def interrupted(auth, act):
    """A second instance of the service, in whose first write `act` comes between."""
    call, table = second(auth)
    table._client = BetweenReadAndWrite(table._client, act)
    return call


def test_a_use_that_comes_between_read_and_write_makes_a_sibling(auth):
    tokens, others = auth.sign_in(), []
    slow = interrupted(auth, lambda: others.append(refreshed(auth, tokens["refresh_token"])))
    mine = slow.refresh(tokens["refresh_token"])
    assert mine.status == 200
    refreshed(auth, mine.json["refresh_token"])
    refreshed(auth, others[0]["refresh_token"])


def test_a_successor_s_use_that_comes_between_makes_it_theft(auth):
    tokens = auth.sign_in()
    second = refreshed(auth, tokens["refresh_token"])
    slow = interrupted(auth, lambda: refreshed(auth, second["refresh_token"]))
    assert slow.refresh(tokens["refresh_token"]).error == REFUSED
    assert len(auth.notifications()) == 1


def test_a_whole_generation_that_comes_between_makes_it_theft(auth):
    """The token was unused when it was read; by the time of the write it was used, and its successor too."""
    tokens = auth.sign_in()
    slow = interrupted(auth, lambda: refreshed(auth, refreshed(auth, tokens["refresh_token"])["refresh_token"]))
    assert slow.refresh(tokens["refresh_token"]).error == REFUSED
    assert len(auth.notifications()) == 1


@pytest.mark.parametrize("how", ["logout", "revoke"])
def test_a_logout_that_comes_between_read_and_write_wins(auth, how):
    tokens = auth.sign_in()
    ends = {
        "logout": lambda: auth.logout(tokens["access_token"]),
        "revoke": lambda: auth.call.post("/oauth/revoke", token=tokens["access_token"]),
    }
    before = {row["PK"]["S"] for row in auth.rows()}
    assert interrupted(auth, ends[how]).refresh(tokens["refresh_token"]).error == REFUSED
    assert {row["PK"]["S"] for row in auth.rows()} == before, "no token was left behind"


def test_a_logout_that_comes_between_an_exchange_s_read_and_write_does_not_kill_what_it_issues(auth):
    old = auth.sign_in()
    slow = interrupted(auth, lambda: auth.logout(old["access_token"]))
    new = slow.exchange(auth.issuer.id_token(now=auth.clock(), nonce="new")).json
    assert auth.active(new["access_token"])
    assert not auth.active(old["access_token"])
    assert claims_of(new["access_token"])["iat"] > auth.notifications()[0]["revoke"]["not_before"]


def test_a_token_issued_by_a_clock_ahead_is_killed_by_a_logout_of_a_clock_behind(auth):
    """Every iat ever given out is at most the not_before of a logout after it."""
    auth.clock.advance(5)
    ahead = auth.sign_in()
    auth.clock.advance(-5)
    behind = auth.sign_in()
    assert auth.logout(behind["access_token"]).status == 204
    [message] = auth.notifications()
    assert message["revoke"]["not_before"] == claims_of(ahead["access_token"])["iat"]
    assert not auth.active(ahead["access_token"])


@pytest.mark.parametrize("slow", ["sign-in", "logout"])
def test_a_token_that_a_clock_ahead_issues_between_read_and_write_is_killed_too(auth, slow):
    """Neither an earlier iat nor an earlier not_before is written over the later iat."""
    ahead = []

    def sign_in_ahead():
        auth.clock.advance(5)
        ahead.append(auth.sign_in("ada")["access_token"])
        auth.clock.advance(-5)

    call = interrupted(auth, sign_in_ahead)
    if slow == "sign-in":
        token = call.exchange(auth.issuer.id_token("ada", now=auth.clock(), nonce="slow")).json["access_token"]
        assert auth.logout(token).status == 204
    else:
        token = auth.sign_in("ada")["access_token"]
        assert call.post("/oauth/logout", bearer=token).status == 204
    assert auth.notifications()[0]["revoke"]["not_before"] >= claims_of(ahead[0])["iat"]
    assert not auth.active(ahead[0])


def test_a_transaction_that_never_gets_through_ends_as_unavailable(auth):
    tokens = auth.sign_in()
    call, table = second(auth)

    class Contended(BetweenReadAndWrite):
        def transact_write_items(self, **parameters):
            [first, *rest] = parameters["TransactItems"]
            never = {**first["Update"], "ConditionExpression": "attribute_exists(nothing)"}
            never.pop("ExpressionAttributeNames")
            never["UpdateExpression"] = "SET expires_at = :s0"
            never["ExpressionAttributeValues"] = {":s0": {"N": "1"}}
            return self._client.transact_write_items(TransactItems=[{"Update": never}, *rest])

    table._client = Contended(table._client, lambda: None)
    assert call.refresh(tokens["refresh_token"]).error == (503, "temporarily_unavailable")
    refreshed(auth, tokens["refresh_token"])


def test_an_sdk_retry_of_a_transaction_carries_the_same_request_token(auth):
    """The write happened and its answer was lost: DynamoDB knows the retry by its token and says yes again.

    moto does not know it, cancels the retry, and shows that even then the answer is a sibling and not theft.
    """
    tokens = auth.sign_in()
    call, table = second(auth)
    sent = []

    class Fault:
        def stream(self, **_kwargs):
            yield b'{"__type": "InternalServerError"}'

    def lose_the_first_answer(request, **_kwargs):
        sent.append(request.body)
        return AWSResponse(request.url, 500, HTTPHeaders(), Fault()) if len(sent) == 1 else None

    events = table._client.meta.events
    events.register_first("before-send.dynamodb.TransactWriteItems", lose_the_first_answer)
    assert call.refresh(tokens["refresh_token"]).status == 200
    assert sent[0] == sent[1]
    assert b"ClientRequestToken" in sent[0]
    assert auth.notifications() == []
