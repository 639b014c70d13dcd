"""A WebSocket API of API Gateway on a laptop: reads a deployed API, serves its clients, calls its functions.

Start reading in server.py. Out of scope: other integrations than Lambda proxies, IAM and API-key authorization,
request models, custom domains, stage throttles.
"""

from local.gateway.errors import GatewayError
from local.gateway.invoke import LAMBDA_CONFIG, Invoker, InvokeResult, LambdaInvoker
from local.gateway.limits import GatewayLimits
from local.gateway.server import Gateway

__all__ = ["Gateway", "GatewayLimits", "GatewayError", "LambdaInvoker", "LAMBDA_CONFIG", "Invoker", "InvokeResult"]
