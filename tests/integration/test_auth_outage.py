"""Area I: the auth service is away, and comes back. Its breaker lives in the authorizer's process, of which there is
one as long as connections are opened one after the other."""

from __future__ import annotations

import time

import jwt
import pytest

from tests.integration.deployment import refused
from tests.integration.function_code import outage, restart
from tests.support.waiting import TIME_FACTOR, until

DEGRADED_S = 300  # limits.py, degraded_s
SLACK_S = 60


async def lifetime(deployment, token):
    """For how many seconds the connection may live before it must refresh: shorter where the service was not asked."""
    async with deployment.socket(token) as socket:
        welcome = await socket.ask("hello", protocol=1)
        assert (await socket.ask("ping"))["type"] == "pong"
    return welcome["payload"]["expires_at"] - time.time()


async def is_degraded(deployment, token):
    left = await lifetime(deployment, token)
    assert DEGRADED_S - SLACK_S < left < DEGRADED_S + 1 or 900 - SLACK_S < left <= 900
    return left < DEGRADED_S + 1


@pytest.fixture
def cold(strict):
    """An authorizer that has asked nobody yet."""
    restart(strict, "authorizer")
    return strict


async def test_three_failed_calls_open_the_breaker_and_one_success_closes_it(cold, tmp_path):
    """I3."""
    token = cold.login("ada")["access_token"]
    assert not await is_degraded(cold, token)
    with outage(cold, tmp_path) as service:
        assert [await is_degraded(cold, token) for _ in range(4)] == [True] * 4
        assert service.asked() == ["/oauth/introspect"] * 3
    opened = time.monotonic()
    assert await is_degraded(cold, token), "the breaker is open, so that nobody notices yet"
    while await is_degraded(cold, token):
        assert time.monotonic() - opened < 10 * TIME_FACTOR
    assert [await is_degraded(cold, token) for _ in range(3)] == [False] * 3


async def test_a_failed_trial_call_opens_it_again(cold, tmp_path):
    """I3: half open, one call goes through, and no more."""
    token = cold.login("ada")["access_token"]
    with outage(cold, tmp_path) as service:
        for _ in range(2):
            assert await is_degraded(cold, token)
        deadline = time.monotonic() + 10 * TIME_FACTOR
        while len(service.asked()) == 3:
            assert time.monotonic() < deadline
            assert await is_degraded(cold, token)
        assert len(service.asked()) == 4
        assert await is_degraded(cold, token)
        assert len(service.asked()) == 4


async def test_while_it_is_away_a_cold_authorizer_admits_by_its_own_keys_and_refuses_what_must_be_checked(
    cold, tmp_path
):
    """C4, I4: the keys are those of the deployment; nothing is fetched from the service that is away."""
    plain, privileged = cold.login("ada")["access_token"], cold.login("root", groups=["admin"])["access_token"]
    assert not await is_degraded(cold, privileged)
    with outage(cold, tmp_path) as service:
        restart(cold, "authorizer")
        assert await is_degraded(cold, plain)
        assert await refused(cold, privileged) == 500, "not a final refusal: a client tries again"
        assert set(service.asked()) == {"/oauth/introspect"}
        assert await refused(cold, cold.token("ada", iss="https://issuer.example")) == 403
        assert await refused(cold, cold.token("ada", exp=int(time.time()) - 90)) == 403
        assert cold.threads(plain).status == 200
        assert cold.threads(privileged).status == 503
    restart(cold, "authorizer")
    assert not await is_degraded(cold, privileged)


async def test_a_logout_holds_while_the_service_is_away(strict, tmp_path):
    """I4, C3: what Control was told, nobody has to ask about."""
    token = strict.login("ina")["access_token"]
    assert strict.logout(token).status == 204
    with outage(strict, tmp_path):
        restart(strict, "authorizer")
        await until(lambda: strict.threads(token).status == 401)
        assert await refused(strict, token) == 403
    restart(strict, "authorizer")


async def test_bad_tokens_are_no_failures_of_the_service(cold):
    """I6: neither those that are refused before the service is asked, nor those that it disowns."""
    good = cold.login("ada")["access_token"]
    bad = ["nonsense", cold.token("ada", aud="another"), *(cold.token("ada", sid="unknown") for _ in range(4))]
    for token in bad:
        assert await refused(cold, token) == 403
    assert not await is_degraded(cold, good)


async def test_keys_rotate_and_tokens_of_both_pass_meanwhile(strict):
    """I7: from A by A-B to B-A, each an update of the deployed stack."""
    first = strict.login("ada")["access_token"]
    rotate(strict, "A-B")
    second = strict.login("ada")["access_token"]
    assert key_id(first) == key_id(second)
    rotate(strict, "B-A")
    third = strict.login("ada")["access_token"]
    assert key_id(third) != key_id(second)
    for token in (first, second, third):
        assert not await is_degraded(strict, token)
        assert strict.threads(token).status == 200
        assert strict.introspect(token)["active"] is True


def rotate(deployment, keys):
    """Update the stack, as `aws cloudformation deploy` with another SigningKeys does."""
    cloudformation, name = deployment.aws("cloudformation"), deployment.facts["stack"]
    given = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["Parameters"]
    kept = [{"ParameterKey": each["ParameterKey"], "UsePreviousValue": True} for each in given]
    changed = [each for each in kept if each["ParameterKey"] != "SigningKeys"]
    changed.append({"ParameterKey": "SigningKeys", "ParameterValue": keys})
    capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    cloudformation.update_stack(StackName=name, UsePreviousTemplate=True, Parameters=changed, Capabilities=capabilities)
    cloudformation.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})


def key_id(token):
    return jwt.get_unverified_header(token)["kid"]
