"""Each function's role allows what the function does, by name, and nothing else."""

import pytest

from tests.template.reading import AUTH_FUNCTIONS, FUNCTIONS, environment, function, grants, properties, resources

CONNECTIONS = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/${StageName}"
POSTING = {("execute-api:ManageConnections", f"{CONNECTIONS}/POST/@connections/*")}
CLOSING = {("execute-api:ManageConnections", f"{CONNECTIONS}/DELETE/@connections/*")}
SENDING = {("sqs:SendMessage", "RunQueue.Arn")}
SCHEDULING = {("sqs:SendMessage", "ControlQueue.Arn")}
RECEIVING = {
    (f"sqs:{action}", "RunQueue.Arn")
    for action in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes")
}


def rows(*actions: str, table: str = "Table.Arn") -> set[tuple[str, str]]:
    """Those actions on the table."""
    return {(f"dynamodb:{action}", table) for action in actions}


CHANGING = rows("BatchGetItem", "ConditionCheckItem", "DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem")
ALLOWED = {
    "Authorizer": set(),
    "Connect": rows("BatchGetItem", "DeleteItem", "PutItem", "UpdateItem") | SCHEDULING,
    "Disconnect": rows("DeleteItem"),
    "Message": CHANGING | rows("Query", table="${Table.Arn}/index/by_activity") | SENDING | POSTING | CLOSING,
    "Worker": CHANGING
    | rows("BatchWriteItem")
    | RECEIVING
    | POSTING
    | CLOSING
    | {("sqs:SendMessage", "DeadLetterQueue.Arn")},
    "Control": rows("DeleteItem", "PutItem", "Query", "UpdateItem")
    | {(f"sqs:{action}", "ControlQueue.Arn") for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")}
    | SCHEDULING
    | POSTING
    | CLOSING,
    "Http": rows("BatchGetItem", "GetItem", "PutItem", "Query", "UpdateItem")
    | rows("Query", table="${Table.Arn}/index/by_activity")
    | SENDING
    | POSTING,
    "Auth": rows("BatchGetItem", "PutItem", "UpdateItem", table="AuthTable.Arn")
    | {("kms:Sign", "HasKeyA: SigningKeyA.Arn"), ("kms:Sign", "HasKeyB: SigningKeyB.Arn")}
    | SCHEDULING,
    "Jwks": {
        ("kms:GetPublicKey", "HasKeyA: SigningKeyA.Arn"),
        ("kms:GetPublicKey", "HasKeyB: SigningKeyB.Arn"),
        ("s3:DeleteObject", "${KeysBucket.Arn}/jwks.json"),
        ("s3:PutObject", "${KeysBucket.Arn}/jwks.json"),
    },
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_role_allows_exactly_what_its_function_does(name):
    logging = {(f"logs:{action}", f"{name}LogGroup.Arn") for action in ("CreateLogStream", "PutLogEvents")}
    assert grants(name) == ALLOWED[name] | logging


@pytest.mark.parametrize("name", FUNCTIONS)
def test_with_a_role_per_user_message_and_worker_reach_the_table_through_it_only(name):
    """E7: what the code keeps apart, IAM does too (test_tenant_policy.py)."""
    others = {(action, where) for action, where in grants(name) if not action.startswith("dynamodb:")}
    assuming = {(f"sts:{action}", "TenantRole.Arn") for action in ("AssumeRole", "TagSession")}
    changed = name in {"Message", "Worker"}
    assert grants(name, holding={"RolePerUser"}) == (others | assuming if changed else grants(name))
    assert "TENANT_ROLE" not in environment(name) or changed


INTERFACES = {
    (f"ec2:{action}", "*")
    for action in (
        "AssignPrivateIpAddresses",
        "CreateNetworkInterface",
        "DeleteNetworkInterface",
        "DescribeNetworkInterfaces",
        "DescribeSubnets",
        "UnassignPrivateIpAddresses",
    )
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_in_a_vpc_lambda_may_make_the_interfaces_that_its_functions_need(name):
    """AWS demands `*` here: an interface that does not exist yet has no name."""
    added = INTERFACES if "VpcConfig" in function(name) else set()
    assert grants(name, holding={"InVpc"}) - grants(name) == added


def test_what_lambda_may_do_in_a_vpc_the_functions_code_may_not():
    """As AWS advises: only requests of a function's own code name it as their source."""
    (policy,) = [policy for policy in resources("AWS::IAM::Policy").values() if policy["Condition"] == "InVpc"]
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert {(action, statement["Resource"]) for action in statement["Action"]} == INTERFACES
    [(key, source)] = statement["Condition"]["ArnLike"].items()
    assert key == "lambda:SourceFunctionArn"
    assert source["Fn::Sub"].endswith(":function:${AWS::StackName}-*")
    inside = [{"Ref": f"{name}Role"} for name in FUNCTIONS if "VpcConfig" in function(name)]
    assert policy["Properties"]["Roles"] == inside


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_a_role_of_its_own_that_only_lambda_may_take(name):
    assert function(name)["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    (trust,) = properties(f"{name}Role")["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


def test_the_authorizer_has_no_table_and_no_queue():
    assert {action.partition(":")[0] for action, _ in grants("Authorizer")} == {"logs"}


def test_only_message_worker_control_and_http_may_post_to_connections():
    posting = [name for name in FUNCTIONS if any(action.startswith("execute-api:") for action, _ in grants(name))]
    assert posting == ["Message", "Worker", "Control", "Http"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_auth_service_and_the_rest_share_no_table_and_no_key(name):
    """I2: what links them is the control queue."""
    touched = {resource for action, resource in grants(name) if action.startswith(("dynamodb:", "kms:", "s3:"))}
    theirs = {resource for resource in touched if not resource.startswith(("Table.", "${Table."))}
    assert theirs == (touched if name in AUTH_FUNCTIONS else set())


def test_only_the_signing_key_itself_lets_its_account_decide():
    """KMS demands it: a key policy names the key as `*`, and hands the decision to IAM."""
    for key in resources("AWS::KMS::Key").values():
        (statement,) = key["Properties"]["KeyPolicy"]["Statement"]
        assert statement["Principal"] == {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
        assert (key["Properties"]["KeySpec"], key["Properties"]["KeyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")


def test_no_role_has_managed_policies_or_is_shared():
    assert set(resources("AWS::IAM::Role")) == {f"{name}Role" for name in FUNCTIONS} | {"TenantRole"}
    for role in resources("AWS::IAM::Role").values():
        assert set(role["Properties"]) == {"AssumeRolePolicyDocument", "Policies"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_only_wildcard_is_a_connection_of_the_own_stage(name):
    """A log group's Arn ends in `:*`, its streams, without being written here."""
    wild = {resource for _, resource in grants(name) if "*" in resource}
    assert wild <= {resource for _, resource in POSTING | CLOSING}
    assert not any("*" in action for action, _ in grants(name))
