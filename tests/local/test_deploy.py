"""What local/build.py and local/deploy.py promise, on a small project: sam builds it and ministack deploys it."""

import io
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from local.build import Target, built, fingerprint
from local.deploy import deploy, linked
from local.errors import Unable
from tests.local.functions import call

TEMPLATE = """
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Parameters:
  Greeting: {Type: String}
Resources:
  Api:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: live
      RouteSelectionExpression: $request.body.type
      Auth: {AuthType: CUSTOM, AuthArn: !GetAtt Tested.Arn}
      Routes:
        $connect: {FunctionArn: !GetAtt Tested.Arn}
        $default: {FunctionArn: !GetAtt Tested.Arn, RouteResponseSelectionExpression: $default}
  Layer:
    Type: AWS::Serverless::LayerVersion
    Metadata: {BuildMethod: makefile}
    Properties: {ContentUri: layers/tested}
  Tested:
    Type: AWS::Serverless::Function
    Metadata: {SkipBuild: true}
    Properties:
      Handler: app.handler
      Runtime: python3.13
      CodeUri: functions/tested
      Layers: [!Ref Layer]
      Role: !GetAtt Role.Arn
      Environment: {Variables: {GREETING: !Ref Greeting}}
      Events:
        Fifo: {Type: SQS, Properties: {Queue: !GetAtt Fifo.Arn, BatchSize: 1}}
        Standard: {Type: SQS, Properties: {Queue: !GetAtt Standard.Arn, BatchSize: 1}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: '2012-10-17'
        Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}]
      Policies:
        - PolicyName: tested
          PolicyDocument:
            Version: '2012-10-17'
            Statement: [{Effect: Allow, Action: 'sqs:*', Resource: '*'}]
  Fifo: {Type: AWS::SQS::Queue, Properties: {FifoQueue: true}}
  Standard: {Type: AWS::SQS::Queue}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: PK, AttributeType: S}]
      KeySchema: [{AttributeName: PK, KeyType: HASH}]
      TimeToLiveSpecification: {AttributeName: expires_at, Enabled: true}
Outputs:
  ApiId: {Value: !Ref Api}
  TableName: {Value: !Ref Table}
  FunctionName: {Value: !Ref Tested}
"""

MAKEFILE = """
build-Layer:
\tmkdir -p "$(ARTIFACTS_DIR)/python"
\techo "TARGET = '$$LAMBDA_PYTHON $$LAMBDA_ARCH'" > "$(ARTIFACTS_DIR)/python/layered.py"
"""

CODE = """
import os
import layered
def handler(event, context):
    return [os.environ["GREETING"], layered.TARGET]
"""

HERE = Target.this_machine()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name, text in {
        "template.yaml": TEMPLATE,
        "pyproject.toml": "",
        "constraints.txt": "",
        "layers/tested/Makefile": MAKEFILE,
        "functions/tested/app.py": CODE,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    return folder


class Heard(list[str]):
    """What was said about the progress."""

    def __call__(self, text: str) -> None:
        self.append(text)


async def test_a_stack_has_what_ministack_leaves_out(project, tmp_path, empty_ministack):
    access = empty_ministack.access
    async with built(tmp_path / "build", HERE, say=Heard(), project=project) as template:
        deployment = deploy(access, template, stack_name="tested", parameters={"Greeting": "hello"})
    outputs = deployment.outputs
    assert call(access, outputs["FunctionName"]) == ["hello", f"{HERE.runtime} host"]

    expiry = access.client("dynamodb").describe_time_to_live(TableName=outputs["TableName"])
    assert expiry["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}

    api = access.client("apigatewayv2")
    routes = {route["RouteKey"]: route["RouteId"] for route in api.get_routes(ApiId=outputs["ApiId"])["Items"]}
    answers = {
        key: [
            found["RouteResponseKey"] for found in api.get_route_responses(ApiId=outputs["ApiId"], RouteId=id_)["Items"]
        ]
        for key, id_ in routes.items()
    }
    assert answers == {"$connect": [], "$default": ["$default"]}
    (authorizer,) = api.get_authorizers(ApiId=outputs["ApiId"])["Items"]
    assert not authorizer.get("IdentitySource")

    mappings = access.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert [mapping["State"] for mapping in mappings] == ["Disabled", "Disabled"]
    assert sorted(feed.queue_arn.endswith(".fifo") for feed in deployment.feeds) == [False, True]
    assert {feed.queue_url.rsplit("/", 1)[1] for feed in deployment.feeds} == {
        feed.queue_arn.rsplit(":", 1)[1] for feed in deployment.feeds
    }
    assert all(feed.function_arn.endswith(outputs["FunctionName"]) for feed in deployment.feeds)


async def test_a_stack_that_fails_is_one_sentence_with_the_resource_and_the_reason(project, tmp_path, empty_ministack):
    template = project / "template.yaml"
    template.write_text(template.read_text().replace("FifoQueue: true", "FifoQueue: true, DelaySeconds: 9999999"))
    async with built(tmp_path / "build", HERE, say=Heard(), project=project) as made:
        with pytest.raises(Unable, match="could not be deployed: Fifo: "):
            deploy(empty_ministack.access, made, stack_name="tested", parameters={"Greeting": "hello"})


async def test_a_parameter_that_is_missing_is_one_sentence(project, tmp_path, empty_ministack):
    async with built(tmp_path / "build", HERE, say=Heard(), project=project) as made:
        with pytest.raises(Unable, match=r"could not be deployed: .*Greeting"):
            deploy(empty_ministack.access, made, stack_name="tested", parameters={})


def test_a_linked_layer_is_found_first_and_stays_what_it_was(tmp_path):
    """As ministack has it: unpacked for a process, its site-packages being a site directory."""
    built, unpacked = tmp_path / "built" / "python", tmp_path / "unpacked"
    built.mkdir(parents=True)
    (built / "yaml.py").write_text("which = 'first'")  # a name that this Python's own packages have too
    content = linked(tmp_path / "built", tmp_path / "kept")
    (built / "yaml.py").unlink()
    (built / "yaml.py").write_text("which = 'second'")
    zipfile.ZipFile(io.BytesIO(content)).extractall(unpacked)
    program = f"import site; site.addsitedir({str(unpacked / 'python/lib/python3/site-packages')!r})"
    command = [sys.executable, "-c", f"{program}; import yaml; print(yaml.which)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "first\n"


async def test_only_a_change_is_built(project, tmp_path):
    heard = Heard()
    for _ in range(2):
        async with built(tmp_path / "build", HERE, say=heard, project=project) as template:
            assert (template.parent / "Layer" / "python" / "layered.py").exists()
    assert len(heard) == 1
    (project / "layers" / "tested" / "more").write_text("")
    async with built(tmp_path / "build", HERE, say=heard, project=project):
        assert len(heard) == 2


async def test_a_build_that_fails_ends_with_sams_last_lines_and_is_tried_again(project, tmp_path):
    makefile = project / "layers" / "tested" / "Makefile"
    makefile.write_text("build-Layer:\n\t@echo the shelf is empty >&2; exit 1\n")
    for _ in range(2):
        with pytest.raises(Unable, match="the shelf is empty"):
            async with built(tmp_path / "build", HERE, say=Heard(), project=project):
                pass
    makefile.write_text(MAKEFILE)
    async with built(tmp_path / "build", HERE, say=Heard(), project=project) as template:
        assert template.exists()


@pytest.mark.parametrize(
    "name", ["template.yaml", "constraints.txt", "layers/tested/Makefile", "functions/tested/app.py"]
)
def test_everything_that_is_built_counts_as_a_change(project, name):
    before = fingerprint(project, HERE)
    with (project / name).open("a") as file:
        file.write("#")
    assert fingerprint(project, HERE) != before


def test_bytecode_and_tests_do_not_count_as_a_change(project):
    before = fingerprint(project, HERE)
    for name in ("functions/tested/__pycache__/app.pyc", "tests/test_it.py"):
        (project / name).parent.mkdir()
        (project / name).write_text("")
    assert fingerprint(project, HERE) == before


def test_another_target_counts_as_a_change(project):
    assert fingerprint(project, Target("python3.14", "arm64")) != fingerprint(project, Target("python3.13", "arm64"))
