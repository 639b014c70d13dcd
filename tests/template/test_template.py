"""template.yaml: what each function is given, and how API, table, queues and logs are set."""

import os
import re
import subprocess

import pytest

from layers import build
from tests.template.reading import (
    AUTH_FUNCTIONS,
    FUNCTIONS,
    ROOT,
    environment,
    function,
    properties,
    resources,
    template,
)

ENDPOINT = "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI"
EVERYWHERE = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL"}
TABLE = {"TABLE_NAME", "AWS_ENDPOINT_URL_DYNAMODB"}
RUNS = {"QUEUE_URL", "GENERATION", "AWS_ENDPOINT_URL_SQS", ENDPOINT, "TENANT_ROLE", "AWS_ENDPOINT_URL_STS"}
CONTROL = {"CONTROL_QUEUE_URL", "AWS_ENDPOINT_URL_SQS"}
KEYS = {"ISSUER", "AUDIENCE", "JWKS", "JWKS_URL"}
INTROSPECTION = {f"INTROSPECTION{part}" for part in ("", "_URL", "_CLIENT", "_SECRET")} | {"PRIVILEGED_SCOPES"}
IDENTITY = {"IDENTITY_ISSUER", "IDENTITY_CLIENT_ID", "IDENTITY_JWKS_URL", "GROUPS_CLAIM", "SCOPES", "PRIVILEGED_SCOPES"}
CONTEXTS = {"CONTEXT_STORE", "REDIS_URL", "REDIS_CLUSTER", "REDIS_USERNAME", "REDIS_PASSWORD"}
ENVIRONMENTS = {
    "Authorizer": {"LIMITS", "ALLOWED_ORIGINS", "TOKEN_IN_QUERY"} | KEYS | INTROSPECTION,
    "Connect": {"LIMITS"} | TABLE | CONTROL,
    "Message": {"LIMITS"} | TABLE | RUNS | KEYS | CONTEXTS,
    "Disconnect": {"LIMITS"} | TABLE,
    "Worker": {"LIMITS", "DEAD_LETTER_QUEUE_URL"} | TABLE | RUNS | CONTEXTS,
    "Control": {"LIMITS", ENDPOINT} | TABLE | CONTROL,
    "Http": {"LIMITS", "ALLOWED_ORIGINS"}
    | TABLE
    | KEYS
    | INTROSPECTION
    | CONTEXTS
    | {"QUEUE_URL", "AWS_ENDPOINT_URL_SQS", ENDPOINT},
    "Auth": {"AUTH_LIMITS", "ISSUER", "AUDIENCE", "JWKS", "SIGNING_KEY", "ALLOWED_ORIGINS", "AWS_ENDPOINT_URL_KMS"}
    | {"INTROSPECTION_CLIENT", "INTROSPECTION_SECRET"}
    | TABLE
    | CONTROL
    | IDENTITY,
    "Jwks": {"BUCKET", "AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL_S3"},
}
GATEWAY_TIMEOUT_S = 29
SDK_TIMEOUT_S = 3 * (1 + 5)  # wiring.py: three tries of connecting and reading


def test_it_is_read_as_cfn_lint_reads_it():
    from cfnlint.decode import decode  # type: ignore[import-untyped] # 50 MB, which no other test needs

    read, problems = decode(str(ROOT / "template.yaml"))
    assert (read, problems) == (template(), [])


def test_sam_finds_nothing_to_complain_about(tmp_path):
    command = [str(ROOT / ".tools/bin/sam"), "validate", "--lint"]
    quiet = {**os.environ, "SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[[" not in done.stdout + done.stderr, "the linter's findings begin with [[E or [[W"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_given_exactly_the_environment_it_reads(name):
    assert set(environment(name)) == ENVIRONMENTS[name] | EVERYWHERE


@pytest.mark.parametrize("name", FUNCTIONS)
def test_endpoints_of_aws_services_are_declared_empty_so_that_a_laptop_can_fill_them(name):
    """`sam local` passes on only what the template declares, and botocore ignores what is empty."""
    services = {key for key in environment(name) if key.startswith("AWS_ENDPOINT_URL_")} - {ENDPOINT}
    assert all(environment(name)[key] == "" for key in services)


@pytest.mark.parametrize("name", ["Message", "Worker", "Control"])
def test_frames_are_posted_to_the_stage_unless_an_endpoint_is_given(name):
    own = {"Fn::Sub": "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${StageName}"}
    assert environment(name)[ENDPOINT] == {"Fn::If": ["EndpointGiven", {"Ref": "ManagementEndpoint"}, own]}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_runtime_and_processor_are_parameters(name):
    assert function(name)["Runtime"] == {"Ref": "PythonRuntime"}
    assert function(name)["Architectures"] == [{"Ref": "Architecture"}]


def test_layers_are_built_for_the_runtime_and_processor_that_the_template_has_by_default():
    parameters = template()["Parameters"]
    assert build.DEFAULT_PYTHON == parameters["PythonRuntime"]["Default"] == "python3.13"
    assert build.DEFAULT_ARCH == parameters["Architecture"]["Default"] == "arm64"
    assert set(build.MACHINES) == set(parameters["Architecture"]["AllowedValues"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_its_folder_over_the_two_layers(name):
    assert function(name)["CodeUri"] == f"functions/{name.lower()}"
    assert function(name)["Handler"] == "app.handler"
    own = "AuthserviceLayer" if name in AUTH_FUNCTIONS else "AgentsocketLayer"
    assert function(name)["Layers"] == [{"Ref": "VendorLayer"}, {"Ref": own}]


@pytest.mark.parametrize("name", ["Authorizer", "Connect", "Message", "Disconnect", "Http", "Auth"])
def test_a_route_ends_before_api_gateway_gives_up_and_after_the_sdk_does(name):
    assert SDK_TIMEOUT_S < function(name)["Timeout"] < GATEWAY_TIMEOUT_S


def test_the_queue_hides_a_record_for_as_long_as_the_worker_may_run():
    assert function("Worker")["Timeout"] == 900
    assert properties("RunQueue")["VisibilityTimeout"] >= function("Worker")["Timeout"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_logs_to_a_group_of_its_own_that_forgets(name):
    assert function(name)["LoggingConfig"] == {"LogGroup": {"Ref": f"{name}LogGroup"}}
    assert properties(f"{name}LogGroup")["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_every_log_group_forgets():
    assert {group["Properties"]["RetentionInDays"]["Ref"] for group in resources("AWS::Logs::LogGroup").values()} == {
        "LogRetentionDays"
    }


@pytest.mark.parametrize("name", ["Authorizer", "Connect", "Message", "Control", "Auth"])
def test_what_must_answer_can_have_concurrency_of_its_own(name):
    reserved = {"Fn::If": ["ReserveConcurrency", {"Ref": "ReservedConcurrency"}, {"Ref": "AWS::NoValue"}]}
    assert function(name)["ReservedConcurrentExecutions"] == reserved
    assert template()["Parameters"]["ReservedConcurrency"]["Default"] == 0


def test_routes_are_the_three_that_api_gateway_knows():
    routes = properties("Api")["Routes"]
    assert {key: route["FunctionArn"]["Fn::GetAtt"][0] for key, route in routes.items()} == {
        "$connect": "ConnectFunction",
        "$disconnect": "DisconnectFunction",
        "$default": "MessageFunction",
    }
    assert properties("Api")["RouteSelectionExpression"] == "$request.body.type"


def test_the_authorizer_is_asked_whichever_way_a_token_comes():
    auth = properties("Api")["Auth"]
    assert auth == {"AuthType": "CUSTOM", "AuthArn": {"Fn::GetAtt": ["AuthorizerFunction", "Arn"]}}, "no IdentitySource"


def test_the_default_route_answers_its_caller():
    assert properties("Api")["Routes"]["$default"]["RouteResponseSelectionExpression"] == "$default"
    (response,) = resources("AWS::ApiGatewayV2::RouteResponse").values()
    assert response["Condition"] == "OnAws"
    assert response["Properties"] == {
        "ApiId": {"Ref": "Api"},
        "RouteId": {"Ref": "ApiDefaultRoute"},
        "RouteResponseKey": "$default",
    }


@pytest.mark.parametrize("settings", ["DefaultRouteSettings", "RouteSettings"])
def test_the_stage_is_throttled_and_never_traces_data(settings):
    found = properties("Api")[settings]
    route = found.get("$connect", found)
    assert 0 < route["ThrottlingRateLimit"] <= 1000
    assert 0 < route["ThrottlingBurstLimit"] <= 1000
    assert route["DataTraceEnabled"] is False
    assert route["LoggingLevel"] == {"Fn::If": ["LogStage", "ERROR", "OFF"]}


def test_the_access_log_has_neither_query_nor_header():
    condition, settings, otherwise = properties("Api")["AccessLogSettings"]["Fn::If"]
    assert (condition, otherwise) == ("LogStage", {"Ref": "AWS::NoValue"})
    assert settings["DestinationArn"] == {"Fn::GetAtt": ["AccessLogGroup", "Arn"]}
    for carrier in ("path", "query", "header", "protocol", "principal", "authorizer.subject"):
        assert carrier not in settings["Format"].lower()


def test_the_table_has_the_documented_keys_and_index():
    table = properties("Table")
    assert table["KeySchema"] == [
        {"AttributeName": "PK", "KeyType": "HASH"},
        {"AttributeName": "SK", "KeyType": "RANGE"},
    ]
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "by_activity"
    assert [part["AttributeName"] for part in index["KeySchema"]] == ["PK", "activity"]
    types = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in table["AttributeDefinitions"]}
    assert types == {"PK": "S", "SK": "S", "activity": "N"}


def test_the_table_expires_encrypts_restores_and_outlives_the_stack():
    table = template()["Resources"]["Table"]
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["Properties"]["SSESpecification"] == {"SSEEnabled": True}
    assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


@pytest.mark.parametrize("queue", ["RunQueue", "DeadLetterQueue"])
def test_queues_are_fifo_per_thread_and_encrypted(queue):
    settings = properties(queue)
    assert settings["FifoQueue"] is True
    assert settings["DeduplicationScope"] == "messageGroup"
    assert settings["FifoThroughputLimit"] == "perMessageGroupId"
    assert settings["ContentBasedDeduplication"] is False, "a record's deduplication id is its run"
    assert settings["SqsManagedSseEnabled"] is True
    assert settings["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_a_record_that_comes_back_too_often_is_kept_aside_and_heard_of():
    redrive = properties("RunQueue")["RedrivePolicy"]
    assert redrive == {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}, "maxReceiveCount": 1000}
    alarm = properties("DeadLetterAlarm")
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["DeadLetterQueue", "QueueName"]}}]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)


@pytest.mark.parametrize(
    "name", ["Authorizer", "Connect", "Disconnect", "Message", "Worker", "Control", "Http", "Auth"]
)
def test_an_internal_error_is_counted_and_heard_of(name):
    """By a text that only the decorators log: Lambda's own count of errors has every 401 in it."""
    counter, alarm = properties(f"{name}ErrorCount"), properties("InternalErrorAlarm")
    assert counter["LogGroupName"] == {"Ref": f"{name}LogGroup"}
    (text,) = re.findall(r'^{ \$\.message = ("[^"]+") }$', counter["FilterPattern"])
    module = "authservice/decorators.py" if name == "Auth" else "agentsocket/handlers/decorators.py"
    assert f"logger.error({text}" in (ROOT / "layers" / module.split("/")[0] / "python" / module).read_text("utf-8")
    (counted,) = counter["MetricTransformations"]
    assert (counted["MetricNamespace"], counted["MetricName"]) == (alarm["Namespace"], alarm["MetricName"])


def test_the_worker_takes_one_run_at_a_time_and_reports_the_failed_one():
    source = properties("WorkerFunction")["Events"]["Runs"]["Properties"]
    assert source == {
        "Queue": {"Fn::GetAtt": ["RunQueue", "Arn"]},
        "BatchSize": 1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": {"Ref": "WorkerConcurrency"}},
    }


def test_local_gates_resources_and_nothing_else():
    users = [name for name, resource in template()["Resources"].items() if resource.get("Condition") == "OnAws"]
    assert users == ["DefaultRouteResponse"]
    assert "'Local'" not in str(template()["Resources"]), "no function is told where it runs"
    assert "OnAws" not in str([resource["Properties"] for resource in template()["Resources"].values()])


def test_outputs_are_those_that_the_launcher_reads_and_no_secret():
    assert set(template()["Outputs"]) == {
        *("WebSocketUrl", "ManagementEndpoint", "ApiId", "StageName", "TableName", "QueueUrl", "DeadLetterQueueUrl"),
        *("HttpUrl", "HttpApiId", "AuthUrl", "AuthApiId", "AuthTableName", "PublicKeysUrl", "KeysBucketName"),
        *("SigningKey", "ControlQueueUrl", "ControlDeadLetterQueueUrl"),
        *(f"{name}FunctionName" for name in FUNCTIONS),
        "WorkerMapping",
    }
    assert "resolve:" not in str(template()["Outputs"])
    assert "IntrospectionSecret" not in str(template()["Outputs"])


# The auth service: what it adds, and what goes with it.

AUTH_RESOURCES = {
    *("AuthApi", "AuthIntegration", "AuthRoute", "AuthStage", "AuthPermission"),
    *("AuthIntrospectRoute", "AuthJwksRoute"),
    *("AuthFunction", "AuthRole", "AuthLogGroup", "AuthErrorCount", "AuthTable", "AuthserviceLayer"),
    *("JwksFunction", "JwksRole", "JwksLogGroup", "PublicKeys", "KeysBucket", "IntrospectionSecret"),
}


def test_without_the_auth_service_nothing_of_it_is_there():
    conditional = {name for name, found in template()["Resources"].items() if found.get("Condition") == "Exchange"}
    assert conditional == AUTH_RESOURCES
    only_with = {"KeysBucketPolicy": "KeysArePublic", "SigningKeyA": "HasKeyA", "SigningKeyB": "HasKeyB"}
    assert {name: template()["Resources"][name]["Condition"] for name in only_with} == only_with
    for condition in only_with.values():
        assert {"Condition": "Exchange"} in template()["Conditions"][condition]["Fn::And"]


@pytest.mark.parametrize("name", ["Http", "Auth"])
def test_an_http_api_leaves_paths_tokens_and_cors_to_its_function(name):
    assert properties(f"{name}Api")["ProtocolType"] == "HTTP"
    assert "CorsConfiguration" not in properties(f"{name}Api")
    assert properties(f"{name}Route") == {
        "ApiId": {"Ref": f"{name}Api"},
        "RouteKey": "$default",
        "Target": {"Fn::Sub": f"integrations/${{{name}Integration}}"},
    }
    assert properties(f"{name}Integration")["PayloadFormatVersion"] == "2.0"
    throttle = properties(f"{name}Stage")["DefaultRouteSettings"]
    assert 0 < throttle["ThrottlingRateLimit"] <= throttle["ThrottlingBurstLimit"] <= 1000
    log = properties(f"{name}Stage")["AccessLogSettings"]["Fn::If"][1]["Format"]
    for carrier in ("query", "header", "authorizer"):
        assert carrier not in log.lower()


def test_strangers_cannot_use_up_what_the_authorizer_needs():
    """I3: a 429 counts as a failure of the auth service, and three of them open the breaker."""
    keys = {
        properties(f"Auth{name}Route")["RouteKey"]: properties(f"Auth{name}Route") for name in ("Introspect", "Jwks")
    }
    assert {route["Target"]["Fn::Sub"] for route in keys.values()} == {"integrations/${AuthIntegration}"}
    throttles = properties("AuthStage")["RouteSettings"]
    assert set(throttles) == set(keys) == {"POST /oauth/introspect", "GET /.well-known/jwks.json"}
    assert all(throttle["ThrottlingRateLimit"] >= 100 for throttle in throttles.values())
    assert set(template()["Resources"]["AuthStage"]["DependsOn"]) == {"AuthIntrospectRoute", "AuthJwksRoute"}


def test_no_parameters_fill_a_function_s_environment_beyond_what_lambda_allows():
    """4 KB, the rest for names and what the deployment itself adds. Jwks and JwksUrl exclude each other."""
    longest = {name: found["MaxLength"] for name, found in template()["Parameters"].items() if "MaxLength" in found}
    longest["Audience"] = 256
    without = ("Issuer", "Audience", "Jwks", "Limits", "AllowedOrigins", "PrivilegedScopes")
    assert sum(longest[name] for name in without) <= 4096 - 330
    signed = 2 * 260  # two P-256 keys as JWKs
    auth = ("Issuer", "IdentityIssuer", "IdentityJwksUrl", "Scopes", "PrivilegedScopes", "AllowedOrigins", "AuthLimits")
    assert sum(longest[name] for name in auth) + signed <= 4096 - 1200


@pytest.mark.parametrize("name", ["Http", "Auth"])
def test_an_http_api_may_invoke_its_function_and_nobody_else_s_may(name):
    permission = properties(f"{name}Permission")
    assert permission["FunctionName"] == {"Ref": f"{name}Function"}
    assert f"${{{name}Api}}/*" in permission["SourceArn"]["Fn::Sub"]


@pytest.mark.parametrize("name", ["Authorizer", "Message", "Http"])
def test_keys_come_with_the_deployment_and_newer_ones_from_a_file_that_outlives_the_service(name):
    """I4: a cold authorizer in the middle of an outage still has keys."""
    assert environment(name)["JWKS"] == {
        "Fn::If": ["Exchange", {"Fn::GetAtt": ["PublicKeys", "Document"]}, {"Ref": "Jwks"}]
    }
    condition, public, _ = environment(name)["JWKS_URL"]["Fn::If"]
    assert condition == "KeysArePublic"
    assert public == {"Fn::Sub": "https://${KeysBucket}.s3.${AWS::Region}.${AWS::URLSuffix}/jwks.json"}


def test_the_public_file_is_the_only_public_thing():
    (statement,) = properties("KeysBucketPolicy")["PolicyDocument"]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": {"Fn::Sub": "${KeysBucket.Arn}/jwks.json"},
    }
    block = properties("KeysBucket")["PublicAccessBlockConfiguration"]
    assert (block["BlockPublicAcls"], block["IgnorePublicAcls"]) == (True, True)


def test_the_signing_key_comes_first_in_the_key_set_and_the_other_is_published_beside_it():
    """I7."""
    signing, overlapping = properties("PublicKeys")["Keys"]
    assert signing == properties("AuthFunction")["Environment"]["Variables"]["SIGNING_KEY"]
    assert signing == {
        "Fn::If": ["SignWithA", {"Fn::GetAtt": ["SigningKeyA", "Arn"]}, {"Fn::GetAtt": ["SigningKeyB", "Arn"]}]
    }
    other = {"Fn::If": ["SignWithA", {"Fn::GetAtt": ["SigningKeyB", "Arn"]}, {"Fn::GetAtt": ["SigningKeyA", "Arn"]}]}
    nothing = {"Ref": "AWS::NoValue"}
    assert overlapping == {"Fn::If": ["HasKeyA", {"Fn::If": ["HasKeyB", other, nothing]}, nothing]}


def test_one_secret_and_one_audience_for_who_asks_and_who_answers():
    """Introspection by a generated secret, resolved into both functions at deploy time; one parameter for origins."""
    asking, answering = environment("Authorizer"), environment("Auth")
    assert asking["INTROSPECTION_SECRET"]["Fn::If"][1] == answering["INTROSPECTION_SECRET"]
    assert asking["INTROSPECTION_CLIENT"] == answering["INTROSPECTION_CLIENT"]
    for shared in ("AUDIENCE", "PRIVILEGED_SCOPES", "ALLOWED_ORIGINS", "ISSUER"):
        assert asking[shared] == answering[shared]
    assert environment("Http")["ALLOWED_ORIGINS"] == asking["ALLOWED_ORIGINS"]


def test_without_the_auth_service_nobody_is_asked():
    assert environment("Authorizer")["INTROSPECTION"] == {"Fn::If": ["Exchange", {"Ref": "Introspection"}, "none"]}


def test_the_auth_table_expires_encrypts_restores_and_outlives_the_stack():
    table = template()["Resources"]["AuthTable"]
    assert table["Properties"]["KeySchema"] == [{"AttributeName": "PK", "KeyType": "HASH"}]
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_the_control_queue_is_patient_and_what_it_gives_up_is_heard_of():
    queue = properties("ControlQueue")
    assert "FifoQueue" not in queue, "FIFO queues have no delay per message"
    assert function("Control")["Timeout"] <= queue["VisibilityTimeout"] <= 30, "a revocation must come again soon"
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["ControlDeadLetterQueue", "Arn"]}
    alarm = properties("ControlDeadLetterAlarm")
    assert alarm["Dimensions"][0]["Value"] == {"Fn::GetAtt": ["ControlDeadLetterQueue", "QueueName"]}
    source = properties("ControlFunction")["Events"]["Due"]["Properties"]
    assert (source["BatchSize"], source["FunctionResponseTypes"]) == (1, ["ReportBatchItemFailures"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_know_contexts_are_where_redis_is_and_the_others_are_in_no_vpc(name):
    knows = name in {"Message", "Worker", "Http"}
    network = {"SubnetIds": "SubnetIds", "SecurityGroupIds": "SecurityGroupIds"}
    listed = {key: {"Fn::Split": [",", {"Ref": parameter}]} for key, parameter in network.items()}
    inside = {"Fn::If": ["InVpc", listed, {"Ref": "AWS::NoValue"}]}
    assert function(name).get("VpcConfig") == (inside if knows else None)
    assert (environment(name).keys() >= CONTEXTS) is knows


def test_the_password_of_redis_is_looked_up_at_deploy_and_never_a_parameter():
    for part in ("username", "password"):
        resolved = {"Fn::Sub": f"{{{{resolve:secretsmanager:${{RedisSecret}}:SecretString:{part}}}}}"}
        expected = {"Fn::If": ["RedisLogin", resolved, ""]}
        assert {str(environment(name)[f"REDIS_{part.upper()}"]) for name in ("Message", "Worker", "Http")} == {
            str(expected)
        }
