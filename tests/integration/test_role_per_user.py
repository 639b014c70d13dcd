"""IAM mode deployed: message and worker reach the table only through the role that they assume for a user.

The local AWS judges trust policies, session tags and which role may touch which table. It does not know
`dynamodb:LeadingKeys`, nor variables in policies: by the template's own policy it lets nobody read anything. So these
tests put conditions that it knows in place of that one; what AWS makes of the real ones: test_tenant_policy.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.deployment import LONG, Deployment

USAGE = LONG.partition("\n")[0]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Deployment]:
    """A deployment with a role per user."""
    running = Deployment("--parameters", json.dumps({"TenantRoles": "true"}))
    yield running
    running.stop()


class Role:
    """The deployed TenantRole, whose conditions can be replaced by others."""

    def __init__(self, deployment: Deployment) -> None:
        self._iam = deployment.aws("iam")
        self._name = deployment.variables("message")["TENANT_ROLE"].rpartition("/")[2]
        self._policy = self._iam.get_role_policy(RoleName=self._name, PolicyName="tenant")["PolicyDocument"]

    def put(self, condition: dict[str, Any] | None = None) -> None:
        """Allow what the template allows, on this condition; on the template's own without one."""
        [statement] = self._policy["Statement"]
        document = self._policy | {"Statement": [statement | ({"Condition": condition} if condition else {})]}
        self._iam.put_role_policy(RoleName=self._name, PolicyName="tenant", PolicyDocument=json.dumps(document))


@pytest.fixture
def role(guarded: Deployment) -> Iterator[Role]:
    found = Role(guarded)
    yield found
    found.put()


async def says(deployment: Deployment, name: str, kind: str, **payload: Any) -> Any:
    """What a user's command is answered: a frame's type, and the code of an error."""
    async with deployment.socket(deployment.token(name)) as opened:
        answer = await opened.ask(kind, **payload)
        return answer["type"], answer["payload"].get("code")


async def test_the_functions_have_no_way_to_the_table_but_that_role(guarded):
    """E7: with a role that opens nothing, nothing is open."""
    assert await says(guarded, "ada", "hello", protocol=1) == ("error", "internal")


async def test_a_turn_works_in_a_session_that_is_tagged_with_a_user(guarded, role):
    """Message and worker assume it, each with the tag."""
    role.put({"StringLike": {"aws:PrincipalTag/u": "?" * 32}})
    async with guarded.live("ada") as socket:
        events = await socket.run(USAGE)
        assert events[-1]["type"] == "final_report"
        again = await socket.run(USAGE, thread_id=events[-1]["thread_id"])
        assert again[-1]["type"] == "final_report"
        listed = await socket.ask("list_threads")
        assert [each["thread_id"] for each in listed["payload"]["threads"]] == [events[-1]["thread_id"]]
        changed = await socket.ask("update_context", name="user.notes", patch={"likes": "tea"})
        assert changed["payload"]["value"] == {"likes": "tea"}
        assert (await socket.ask("get_health"))["payload"]["status"] == "ok"


async def test_each_user_s_rows_are_asked_for_in_that_user_s_session(guarded, role):
    """E7: also in a process that has the sessions of both."""
    role.put({"StringEquals": {"aws:PrincipalTag/u": [guarded.user_id("ada"), guarded.user_id("bob")]}})
    for name in ("ada", "bob"):
        assert (await says(guarded, name, "hello", protocol=1))[0] == "welcome"
    role.put({"StringEquals": {"aws:PrincipalTag/u": guarded.user_id("ada")}})
    assert await says(guarded, "bob", "hello", protocol=1) == ("error", "internal")
    assert (await says(guarded, "ada", "hello", protocol=1))[0] == "welcome"
    assert await says(guarded, "bob", "hello", protocol=1) == ("error", "internal")
