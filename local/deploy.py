"""Deploys the built template to ministack, and mends what its CloudFormation does differently from AWS's.

Inside: packaging, one stack, its outputs, and four repairs: tables' time to live, route responses, authorizers without
an identity source, and event source mappings of queues, which are switched off because ministack runs one batch per
queue, not one per group, and looks for delayed messages once a second (`queue_poller.py` does it instead). Kept out:
any name of this project; what is to be mended is found in the template.
"""

import io
import os
import shutil
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from local.aws import Access
from local.errors import Unable

if TYPE_CHECKING:
    from mypy_boto3_apigatewayv2 import ApiGatewayV2Client
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

BUCKET = "packages"
CREATE_S = 120.0
CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}

Template = dict[str, Any]


@dataclass(frozen=True)
class Feed:
    """A queue whose messages go to a function."""

    queue_url: str
    queue_arn: str
    function_arn: str


@dataclass(frozen=True)
class Deployment:
    """One deployed stack: its outputs by name, and the feeds that nobody serves yet."""

    outputs: dict[str, str]
    feeds: tuple[Feed, ...]


def deploy(
    access: Access, built: Path, *, stack_name: str, parameters: Mapping[str, str], layers: Path | None = None
) -> Deployment:
    """Create the stack of the template file `built`. Blocks for as long as that takes, a second or so.

    `layers` is a folder to keep what the layers hold for as long as the stack runs (`linked`); without it they travel
    whole. Raises Unable with CloudFormation's reason when it fails.
    """
    template: Template = yaml.safe_load(built.read_text("utf-8"))
    try:
        return deployed(access, template, built.parent, stack_name, parameters, layers)
    except (BotoCoreError, ClientError) as error:
        raise Unable(f"The stack could not be deployed: {error}") from error


def deployed(
    access: Access,
    template: Template,
    folder: Path,
    stack_name: str,
    parameters: Mapping[str, str],
    layers: Path | None,
) -> Deployment:
    address = package(access.client("s3"), template, folder, layers)
    cloudformation: CloudFormationClient = access.client("cloudformation")
    outputs = create(cloudformation, address, stack_name, parameters)
    resources = physical_ids(cloudformation, stack_name)
    expire_rows(access.client("dynamodb"), template, resources)
    apigateway: ApiGatewayV2Client = access.client("apigatewayv2")
    for api, properties in of_type(template, "AWS::Serverless::WebSocketApi").items():
        answer_routes(apigateway, resources[api])
        if "IdentitySource" not in properties.get("Auth", {}):
            forget_identity_sources(apigateway, resources[api])
    return Deployment(outputs, take_feeds(access.client("lambda"), access.client("sqs")))


# --- packaging


def package(s3: "S3Client", template: Template, folder: Path, layers: Path | None) -> str:
    """Upload every local code folder of `template` with its address in the folder's place, then the template itself.

    Returns the template's address: as text, CloudFormation takes 51,200 bytes only.
    """
    s3.create_bucket(Bucket=BUCKET)
    for name, resource in template["Resources"].items():
        key = CODE.get(resource["Type"])
        if key and isinstance(resource["Properties"].get(key), str):
            source = (folder / resource["Properties"][key]).resolve()
            is_layer = key == "ContentUri"
            content = linked(source, layers / name) if is_layer and layers is not None else zipped(source)
            s3.put_object(Bucket=BUCKET, Key=name, Body=content)
            resource["Properties"][key] = f"s3://{BUCKET}/{name}"
    s3.put_object(Bucket=BUCKET, Key="template.yaml", Body=yaml.safe_dump(template).encode())
    return f"https://s3.amazonaws.com/{BUCKET}/template.yaml"


def zipped(folder: Path) -> bytes:
    """`folder` as a zip file, stored rather than compressed: it travels within this machine only."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return content.getvalue()


def linked(folder: Path, kept: Path) -> bytes:
    """A layer of one file that leads to what is in `folder`, by way of hard links in `kept`, which is made.

    ministack unpacks a function's layers for each process anew: thousands of files, half of a cold start. The links
    stay what they were when a later build replaces the files of `folder`.
    """
    shutil.copytree(folder, kept, copy_function=link)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        # A line that is run, since a bare path would come after the packages of ministack's own Python.
        line = f"import sys; sys.path.insert(0, {str(kept.resolve() / 'python')!r})\n"
        archive.writestr("python/lib/python3/site-packages/linked.pth", line)
    return content.getvalue()


def link(source: str, target: str) -> None:
    """Another name for the file, or a copy of it where names cannot cross."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


# --- the stack


def create(
    cloudformation: "CloudFormationClient", address: str, stack_name: str, parameters: Mapping[str, str]
) -> dict[str, str]:
    """Create the stack of the template at `address` and wait for it. Returns its outputs."""
    cloudformation.create_stack(
        StackName=stack_name,
        TemplateURL=address,
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    deadline = time.monotonic() + CREATE_S
    while (stack := cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0])["StackStatus"].endswith(
        "IN_PROGRESS"
    ):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        raise Unable(f"The stack could not be deployed: {reason(cloudformation, stack_name)}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def reason(cloudformation: "CloudFormationClient", stack_name: str) -> str:
    """What CloudFormation says about the first resource that failed."""
    events = cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]
    failed = [event for event in events if event.get("ResourceStatus", "").endswith("FAILED")]
    if not failed:
        return "it was not finished in time."
    return f"{failed[-1].get('LogicalResourceId')}: {failed[-1].get('ResourceStatusReason', 'no reason given')}"


def physical_ids(cloudformation: "CloudFormationClient", stack_name: str) -> dict[str, str]:
    found = cloudformation.describe_stack_resources(StackName=stack_name)["StackResources"]
    return {resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "") for resource in found}


# --- what ministack's CloudFormation leaves out, or puts in


def of_type(template: Template, kind: str) -> dict[str, Any]:
    return {name: found["Properties"] for name, found in template["Resources"].items() if found["Type"] == kind}


def expire_rows(dynamodb: "DynamoDBClient", template: Template, resources: Mapping[str, str]) -> None:
    """Switch on the time to live of every table that has one in the template, and was made."""
    for name, properties in of_type(template, "AWS::DynamoDB::Table").items():
        if "TimeToLiveSpecification" in properties and name in resources:
            dynamodb.update_time_to_live(
                TableName=resources[name], TimeToLiveSpecification=properties["TimeToLiveSpecification"]
            )


def answer_routes(apigateway: "ApiGatewayV2Client", api_id: str) -> None:
    """Give every route that selects its response one: ministack refuses AWS::ApiGatewayV2::RouteResponse."""
    for route in apigateway.get_routes(ApiId=api_id)["Items"]:
        selected = route.get("RouteResponseSelectionExpression")
        if selected:
            apigateway.create_route_response(ApiId=api_id, RouteId=route["RouteId"], RouteResponseKey=selected)


def forget_identity_sources(apigateway: "ApiGatewayV2Client", api_id: str) -> None:
    """Take away the one ministack gives to every authorizer that has none: an HTTP API's, not a WebSocket's."""
    for authorizer in apigateway.get_authorizers(ApiId=api_id)["Items"]:
        apigateway.update_authorizer(ApiId=api_id, AuthorizerId=authorizer["AuthorizerId"], IdentitySource=[])


def take_feeds(functions: "LambdaClient", sqs: "SQSClient") -> tuple[Feed, ...]:
    """Switch off the event source mappings of queues, and return them."""
    feeds = []
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        arn = mapping.get("EventSourceArn", "")
        if arn.startswith("arn:aws:sqs:"):
            functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
            url = sqs.get_queue_url(QueueName=arn.rsplit(":", 1)[1])["QueueUrl"]
            feeds.append(Feed(url, arn, mapping["FunctionArn"]))
    return tuple(feeds)
