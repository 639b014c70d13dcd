"""Each function's role allows what the function does, by name, and nothing else."""

import pytest

from tests.template.reading import FUNCTIONS, function, grants, properties, resources

CONNECTIONS = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/${StageName}"
POSTING = {("execute-api:ManageConnections", f"{CONNECTIONS}/POST/@connections/*")}
CLOSING = {("execute-api:ManageConnections", f"{CONNECTIONS}/DELETE/@connections/*")}
SENDING = {("sqs:SendMessage", "RunQueue.Arn")}
RECEIVING = {
    (f"sqs:{action}", "RunQueue.Arn")
    for action in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes")
}


def rows(*actions: str) -> set[tuple[str, str]]:
    """Those actions on the table."""
    return {(f"dynamodb:{action}", "Table.Arn") for action in actions}


ALLOWED = {
    "Authorizer": set(),
    "Connect": rows("PutItem"),
    "Disconnect": rows("DeleteItem"),
    "Message": rows("BatchGetItem", "GetItem", "PutItem", "Query", "UpdateItem") | SENDING | POSTING | CLOSING,
    "Worker": rows("DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem")
    | RECEIVING
    | POSTING
    | {("sqs:SendMessage", "DeadLetterQueue.Arn")},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_role_allows_exactly_what_its_function_does(name):
    logging = {(f"logs:{action}", f"{name}LogGroup.Arn") for action in ("CreateLogStream", "PutLogEvents")}
    assert grants(name) == ALLOWED[name] | logging


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_a_role_of_its_own_that_only_lambda_may_take(name):
    assert function(name)["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    (trust,) = properties(f"{name}Role")["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


def test_the_authorizer_has_no_table_and_no_queue():
    assert {action.partition(":")[0] for action, _ in grants("Authorizer")} == {"logs"}


def test_only_message_and_worker_may_post_to_connections():
    posting = [name for name in FUNCTIONS if any(action.startswith("execute-api:") for action, _ in grants(name))]
    assert posting == ["Message", "Worker"]


def test_no_role_has_managed_policies_or_is_shared():
    assert set(resources("AWS::IAM::Role")) == {f"{name}Role" for name in FUNCTIONS}
    for role in resources("AWS::IAM::Role").values():
        assert set(role["Properties"]) == {"AssumeRolePolicyDocument", "Policies"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_only_wildcard_is_a_connection_of_the_own_stage(name):
    """A log group's Arn ends in `:*`, its streams, without being written here."""
    wild = {resource for _, resource in grants(name) if "*" in resource}
    assert wild <= {resource for _, resource in POSTING | CLOSING}
    assert not any("*" in action for action, _ in grants(name))
