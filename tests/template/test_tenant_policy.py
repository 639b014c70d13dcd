"""The policy that keeps a user to their own rows (security.md, IAM mode), judged as IAM judges it.

`policies.py` says why it is judged here and nowhere else: neither moto nor ministack can. What the evaluator is asked
are made-up requests, and those that the storage code really makes (tests/support/two_users.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from typing import Any

import boto3
import pytest

from agentsocket.contexts.contract import UserContexts
from agentsocket.contexts.dynamodb import TableContexts
from agentsocket.errors import AgentSocketError
from agentsocket.limits import Limits
from agentsocket.principal import user_id
from agentsocket.storage.table import Table
from agentsocket.storage.user import Storage, UserStorage
from tests.conftest import ISSUER, create_table, mocked_aws, principal_of
from tests.support.fakes import Clock
from tests.support.iam_recording import Access, Recorder, accesses
from tests.support.two_users import CASES, CONTEXT_CASES, ONLY_IN, Hers, prepared, remembered
from tests.template.policies import Request, allows, rendered
from tests.template.reading import grants, properties, resources, template

TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/agentsocket"
ROLES = {f"{name}Role.Arn": f"arn:aws:iam::123456789012:role/{name}" for name in ("Message", "Worker", "Http")}
TENANT = properties("TenantRole")
[OWN_POLICY] = TENANT["Policies"]
POLICY = rendered(OWN_POLICY["PolicyDocument"], {"Table.Arn": TABLE})
TRUST = rendered(TENANT["AssumeRolePolicyDocument"], ROLES)

ADA, BOB = user_id(ISSUER, "ada"), user_id(ISSUER, "bob")
OWN, THREAD = f"USER#{ADA}", f"USER#{ADA}#THREAD#01ARZ3NDEKTSV4RRFFQ69G5FAV"
THEIRS, THEIR_THREAD = f"USER#{BOB}", f"USER#{BOB}#THREAD#01ARZ3NDEKTSV4RRFFQ69G5FAV"
LOOKALIKES = {
    "an id that begins with it": f"USER#{ADA}x",
    "a thread of such an id": f"USER#{ADA}x#THREAD#t",
    "an id that it begins with": f"USER#{ADA[:-1]}",
    "in capitals": f"USER#{ADA.upper()}",
    "in another namespace": f"user#{ADA}",
    "with something before": f"X{OWN}",
    "with a space before": f" {OWN}",
    "with a line's end behind": f"{OWN}\n",
    "with a colon": f"USER#{ADA}:THREAD#t",
    "nobody": "USER#",
    "everybody": "USER#*",
    "any of this length": "USER#" + "?" * 32,
    "the variable itself": "USER#${aws:PrincipalTag/u}",
    "hers inside another's": f"USER#{BOB}#USER#{ADA}",
    "a row of nobody's": "NOTHING",
    "empty": "",
}


def row(partition: str) -> dict[str, Any]:
    return {"PK": {"S": partition}, "SK": {"S": "x"}}


def on(table: str, **parameters: Any) -> dict[str, Any]:
    return {"TableName": table, **parameters}


def query(partition: str, table: str = "agentsocket", **parameters: Any) -> dict[str, Any]:
    values = {":p": {"S": partition}}
    return on(table, KeyConditionExpression="PK = :p", ExpressionAttributeValues=values, **parameters)


def transaction(*partitions: str, kind: str = "Put", field: str = "Item") -> dict[str, Any]:
    return {"TransactItems": [{kind: on("agentsocket", **{field: row(each)})} for each in partitions]}


def reading(*partitions: str, table: str = "agentsocket") -> dict[str, Any]:
    return {"RequestItems": {table: {"Keys": [row(each) for each in partitions]}}}


def writing(*partitions: str) -> dict[str, Any]:
    return {"RequestItems": {"agentsocket": [{"DeleteRequest": {"Key": row(each)}} for each in partitions]}}


def needed(access: Access, tags: dict[str, str]) -> Request:
    """What IAM is asked, for whom a session has these tags."""
    resource = TABLE.rpartition("/")[0] + "/" + access.table
    context = {"dynamodb:LeadingKeys": access.keys, **{f"aws:PrincipalTag/{key}": [tags[key]] for key in tags}}
    return Request(access.action, resource, context)


def passes(access: Access, user: str) -> bool:
    return allows(POLICY, needed(access, {"u": user}))


def may(operation: str, asked: Any, **tags: str) -> bool:
    """Whether a call passes: all that it needs must be allowed. Ada's, unless the session has other `tags`."""
    return all(allows(POLICY, needed(access, tags or {"u": ADA})) for access in accesses(operation, asked))


OF_ROWS = [("GetItem", "Key"), ("PutItem", "Item"), ("UpdateItem", "Key"), ("DeleteItem", "Key")]


@pytest.mark.parametrize("partition", [OWN, THREAD])
@pytest.mark.parametrize(("operation", "field"), OF_ROWS)
def test_a_user_s_own_rows_are_open(operation, field, partition):
    assert may(operation, on("agentsocket", **{field: row(partition)}))


@pytest.mark.parametrize("partition", [THEIRS, THEIR_THREAD, *LOOKALIKES.values()])
@pytest.mark.parametrize(("operation", "field"), OF_ROWS)
def test_nobody_else_s_are(operation, field, partition):
    assert not may(operation, on("agentsocket", **{field: row(partition)}))


@pytest.mark.parametrize(
    ("operation", "asked"),
    [
        ("Query", query(OWN)),
        ("Query", query(THREAD)),
        ("Query", query(OWN, IndexName="by_activity")),
        ("BatchGetItem", reading(OWN, THREAD)),
        ("BatchWriteItem", writing(OWN, THREAD)),
        ("TransactWriteItems", transaction(OWN, THREAD)),
        ("TransactWriteItems", transaction(OWN, THREAD, kind="Update", field="Key")),
        ("TransactGetItems", transaction(OWN, THREAD, kind="Get", field="Key")),
    ],
)
def test_several_own_rows_are_open(operation, asked):
    assert may(operation, asked)


@pytest.mark.parametrize("partition", [THEIRS, THEIR_THREAD, *LOOKALIKES.values()])
def test_one_foreign_row_among_own_ones_closes_the_call(partition):
    for mixed in ((OWN, partition), (partition, OWN), (OWN, partition, THREAD), (partition,)):
        assert not may("BatchGetItem", reading(*mixed))
        assert not may("BatchWriteItem", writing(*mixed))
        assert not may("TransactWriteItems", transaction(*mixed))
        assert not may("TransactWriteItems", transaction(*mixed, kind="Delete", field="Key"))
        assert not may("TransactGetItems", transaction(*mixed, kind="Get", field="Key"))
    assert not may("Query", query(partition))
    assert not may("Query", query(partition, IndexName="by_activity"))


@pytest.mark.parametrize(
    ("operation", "asked"),
    [
        ("Scan", on("agentsocket")),
        ("BatchGetItem", reading()),
        ("BatchWriteItem", writing()),
    ],
)
def test_a_request_without_any_key_is_closed(operation, asked):
    """`ForAllValues` is true of nothing at all: that is what `Null` is there for."""
    assert not may(operation, asked)


@pytest.mark.parametrize("action", ["GetItem", "Query", "BatchGetItem", "UpdateItem"])
def test_an_allowed_action_without_the_condition_key_is_closed(action):
    assert not allows(POLICY, Request(f"dynamodb:{action}", TABLE, {"aws:PrincipalTag/u": [ADA]}))


@pytest.mark.parametrize(
    "action", ["Scan", "PartiQLSelect", "PartiQLUpdate", "DescribeTable", "DeleteTable", "ExportTable"]
)
def test_other_actions_are_closed_whatever_key_they_name(action):
    assert not passes(Access(f"dynamodb:{action}", "agentsocket", (OWN,)), ADA)


@pytest.mark.parametrize(
    "table",
    ["agentsocket2", "other", "agentsocket/index/other", "agentsocket/stream/1", "agentsocket/index/by_activity2"],
)
def test_other_tables_and_indexes_are_closed(table):
    assert not may("GetItem", on(table, Key=row(OWN)))
    assert not may("Query", query(OWN, table))
    assert not may("BatchGetItem", reading(OWN, table=table))


@pytest.mark.parametrize(
    "tags", [{"x": ADA}, {"u": ""}, {"u": "*"}, {"u": "?" * 32}, {"u": f"{ADA[:-1]}*"}, {"u": BOB}]
)
def test_a_session_without_her_tag_opens_nothing_of_hers(tags):
    """What a tag's value says stands for itself: a star in it matches a star."""
    for partition in (OWN, THREAD):
        assert not may("GetItem", on("agentsocket", Key=row(partition)), **tags)


def test_a_session_without_a_tag_opens_nothing_at_all():
    for partition in (OWN, "USER#", "USER##x", "USER#${aws:PrincipalTag/u}"):
        assert not may("GetItem", on("agentsocket", Key=row(partition)), x="y")


# What the code really asks.


@pytest.fixture(scope="module")
def really_asked() -> Iterator[dict[str, set[Access]]]:
    """All that each user's own calls of storage and contexts need: one user for every case."""
    calls: list[Callable[[UserStorage, UserContexts, Hers], Any]] = [
        *(lambda user, _, hers, case=case: case.call(user, hers) for cases in CASES.values() for case in cases),
        *(
            lambda user, theirs, hers, call=call: call(theirs, remembered(theirs, hers.thread))
            for name, found in CONTEXT_CASES.items()
            for call in found
            if "dynamodb" in ONLY_IN.get(name, ("dynamodb",))
        ),
    ]
    with mocked_aws():
        client, look = boto3.client("dynamodb"), boto3.client("dynamodb")
        recorder = Recorder(client)
        yield {
            user_id(ISSUER, f"user {number}"): _asked(client, look, recorder, call, f"user {number}")
            for number, call in enumerate(calls)
        }


def _asked(client: Any, look: Any, recorder: Recorder, call: Callable[..., Any], name: str) -> set[Access]:
    """What is asked when somebody who has something of everything makes this call with it."""
    create_table(look)
    clock = Clock()
    who, table = principal_of(name, clock), Table(client, "agentsocket", now=clock)
    user = Storage(table, limits=Limits(), generation="1").for_user(who)
    theirs = TableContexts(table, limits=Limits()).for_user(who)
    with suppress(AgentSocketError):  # what was asked counts, not the answer
        call(user, theirs, prepared(user))
    look.delete_table(TableName="agentsocket")
    return set(recorder.take())


def test_all_that_the_code_asks_for_a_user_is_open_to_them_and_to_nobody_else(really_asked):
    """E7: this ties the policy to the code."""
    assert len(really_asked) > 80
    for user, asked in really_asked.items():
        assert asked
        assert [each for each in asked if not passes(each, user)] == []
        assert [each for each in asked if passes(each, BOB)] == []


def test_the_policy_allows_no_action_that_the_code_does_not_need(really_asked):
    needed = {each.action for asked in really_asked.values() for each in asked}
    assert needed == set(POLICY["Statement"][0]["Action"])
    assert {each.table for asked in really_asked.values() for each in asked} == {
        "agentsocket",
        "agentsocket/index/by_activity",
    }
    own = {action for name in ("Message", "Worker") for action, _ in grants(name) if action.startswith("dynamodb:")}
    assert needed == own, "what their own roles allow without this mode"


# Who may have such a session.


def assuming(role: str = "MessageRole.Arn", **tags: str) -> list[bool]:
    """Whether the two things that assuming a role with tags needs are allowed."""
    context = {f"aws:RequestTag/{key}": [value] for key, value in tags.items()} | {"aws:TagKeys": list(tags)}
    asked = [Request(f"sts:{action}", "", context, ROLES[role]) for action in ("AssumeRole", "TagSession")]
    return [allows(TRUST, each) for each in asked]


@pytest.mark.parametrize("role", ["MessageRole.Arn", "WorkerRole.Arn"])
def test_message_and_worker_may_speak_for_a_user(role):
    assert assuming(role, u=ADA) == [True, True]


@pytest.mark.parametrize(
    ("role", "tags"),
    [
        ("HttpRole.Arn", {"u": ADA}),
        ("MessageRole.Arn", {}),
        ("MessageRole.Arn", {"x": ADA}),
        ("MessageRole.Arn", {"u": ADA, "x": "y"}),
        ("MessageRole.Arn", {"u": ""}),
        ("MessageRole.Arn", {"u": "*"}),
        ("MessageRole.Arn", {"u": ADA[:-1]}),
        ("MessageRole.Arn", {"u": ADA + "x"}),
    ],
)
def test_nobody_else_may_and_nobody_without_naming_one(role, tags):
    assert assuming(role, **tags) == [False, False]


def test_the_role_has_one_policy_and_stands_beside_no_other():
    assert set(TENANT) == {"AssumeRolePolicyDocument", "Policies"}
    assert template()["Resources"]["TenantRole"]["Condition"] == "RolePerUser"
    attached = [each for each in resources("AWS::IAM::Policy").values() if "TenantRole" in str(each)]
    assert [each["Properties"]["Roles"] for each in attached] == [[{"Ref": "MessageRole"}, {"Ref": "WorkerRole"}]]
    assert not resources("AWS::IAM::ManagedPolicy")


def test_the_circle_that_the_linter_sees_ends_where_sam_makes_routes_of_their_own():
    """TenantRole has the linter keep silent about circles: this looks for them in its place."""
    from cfnlint.template.template import Template  # type: ignore[import-untyped] # 50 MB, which few tests need

    made = deepcopy(template())
    for apart in ("Routes", "Auth"):
        del made["Resources"]["Api"]["Properties"][apart]
    described = Template("template.yaml", made, ["eu-west-1"])
    assert "TenantRole" in described.graph.graph
    assert list(described.graph.get_cycles(described)) == []
