"""Reads a deployed WebSocket API through the API Gateway v2 API. Whatever the gateway cannot emulate is refused here.

Refused with a sentence rather than ignored: other integrations than Lambda proxies, IAM authorization, API keys.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.gateway.authorizer import KINDS
from local.gateway.errors import GatewayError
from local.gateway.limits import GatewayLimits
from local.gateway.routes import CONNECT, DEFAULT, Api, Authorizer, Route, selector

if TYPE_CHECKING:
    from mypy_boto3_apigatewayv2 import ApiGatewayV2Client

log = logging.getLogger("local.gateway")

FUNCTION_URI = re.compile(r"arn:[\w-]+:apigateway:[\w-]+:lambda:path/[\d-]+/functions/(?P<arn>arn:.+)/invocations")
STAGE_VARIABLE = re.compile(r"\$\{stageVariables\.(\w+)\}")

Described = Mapping[str, Any]


def read_api(client: "ApiGatewayV2Client", api_id: str, stage: str, limits: GatewayLimits) -> Api:
    """The API as one of its stages serves it. Blocks on the network. Raises GatewayError."""
    try:
        return _Reader(client, api_id, stage, limits).api()
    except ClientError as exc:
        said = exc.response["Error"].get("Message", "no reason")
        raise GatewayError(f"Stage {stage} of API {api_id} could not be read ({said}): deploy it first.") from exc
    except BotoCoreError as exc:
        raise GatewayError(f"API {api_id} could not be read ({exc}): check the client's endpoint.") from exc


class _Reader:
    def __init__(self, client: "ApiGatewayV2Client", api_id: str, stage: str, limits: GatewayLimits) -> None:
        self._client, self._api_id, self._stage, self._limits = client, api_id, stage, limits
        self._variables: Mapping[str, str] = {}

    def api(self) -> Api:
        described = self._client.get_api(ApiId=self._api_id)
        if described["ProtocolType"] != "WEBSOCKET":
            raise GatewayError(f"API {self._api_id} is not a WebSocket API: give the id of one.")
        stage = self._client.get_stage(ApiId=self._api_id, StageName=self._stage)
        self._variables = stage.get("StageVariables", {})
        path = selector(described["RouteSelectionExpression"])
        if path is None:
            raise GatewayError("The API's route selection expression must have the form $request.body.name.")
        return Api(self._api_id, self._stage, self._client.meta.region_name, path, self._routes(), self._variables)

    def _routes(self) -> dict[str, Route]:
        integrations = self._by_id(self._client.get_integrations, "IntegrationId")
        authorizers = self._by_id(self._client.get_authorizers, "AuthorizerId")
        return {
            route["RouteKey"]: self._route(route, integrations, authorizers)
            for route in self._items(self._client.get_routes)
        }

    def _route(self, route: Described, integrations: Described, authorizers: Described) -> Route:
        key = route["RouteKey"]
        integration = integrations.get(route.get("Target", "").removeprefix("integrations/"))
        if integration is None:
            raise GatewayError(f"Route {key} has no integration: give it one and deploy again.")
        if integration["IntegrationType"] != "AWS_PROXY":
            raise GatewayError(f"Route {key} has an integration other than AWS_PROXY, the only one emulated here.")
        return Route(
            key=key,
            function_arn=self._function_arn(key, integration["IntegrationUri"]),
            timeout_s=min(integration.get("TimeoutInMillis", 29000) / 1000, self._limits.integration_timeout_s),
            two_way=self._two_way(route),
            authorizer=self._authorizer(route, authorizers) if key == CONNECT else None,
        )

    def _two_way(self, route: Described) -> bool:
        """AWS wants both: the expression on the route, and a route response, whose one possible key is $default."""
        if route.get("RouteResponseSelectionExpression") != DEFAULT:
            return False
        responses = self._items(self._client.get_route_responses, RouteId=route["RouteId"])
        return any(True for _ in responses)

    def _authorizer(self, route: Described, authorizers: Described) -> Authorizer | None:
        kind = route.get("AuthorizationType", "NONE")
        if kind not in {"NONE", "CUSTOM"} or route.get("ApiKeyRequired"):
            raise GatewayError("$connect asks for IAM authorization or an API key, which are not emulated here.")
        if kind == "NONE":
            return None
        authorizer = authorizers.get(route.get("AuthorizerId", ""))
        if authorizer is None or authorizer.get("AuthorizerType") != "REQUEST":
            raise GatewayError("The authorizer of $connect is not a Lambda REQUEST authorizer: make it one.")
        return Authorizer(self._function_arn(CONNECT, authorizer["AuthorizerUri"]), _identity_sources(authorizer))

    def _function_arn(self, key: str, uri: str) -> str:
        filled = STAGE_VARIABLE.sub(lambda name: self._variables.get(name[1], ""), uri)
        found = FUNCTION_URI.fullmatch(filled)
        if found is None:
            raise GatewayError(f"Route {key} leads to something that is not a Lambda function: {uri}.")
        return found["arn"]

    def _by_id(self, call: Callable[..., Any], name: str) -> dict[str, Described]:
        return {item[name]: item for item in self._items(call)}

    def _items(self, call: Callable[..., Any], **which: str) -> Iterator[Described]:
        page = call(ApiId=self._api_id, **which)
        yield from page["Items"]
        while page.get("NextToken"):
            page = call(ApiId=self._api_id, NextToken=page["NextToken"], **which)
            yield from page["Items"]


def _identity_sources(authorizer: Described) -> tuple[str, ...]:
    """Those of a WebSocket API. AWS refuses to store others; ministack's CloudFormation makes up an HTTP API's."""
    sources = authorizer.get("IdentitySource", [])
    for source in sources:
        if not source.startswith(KINDS):
            log.warning("Identity source %s is not one of a WebSocket API and is ignored.", source)
    return tuple(source for source in sources if source.startswith(KINDS))
