"""@connections: what the server says to a socket, and what API Gateway answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

from agentsocket import ids
from agentsocket.errors import Disconnect
from agentsocket.protocol import frames

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

Delivery = Literal["delivered", "gone", "throttled"]


class ManagementApi:
    """The management API through its boto3 client, which brings the address, the time-outs and its own retries."""

    def __init__(self, client: ApiGatewayManagementApiClient) -> None:
        self._client = client

    def post(self, connection_id: str, frame: bytes) -> Delivery:
        """Send one frame (at most 30 KB). `throttled` means: not delivered, a later try may succeed."""
        return self._attempt(lambda: self._client.post_to_connection(ConnectionId=connection_id, Data=frame))

    def close(self, connection_id: str) -> Delivery:
        """Close a socket. `throttled` means: it is open still."""
        return self._attempt(lambda: self._client.delete_connection(ConnectionId=connection_id))

    def _attempt(self, call: Callable[[], object]) -> Delivery:
        try:
            call()
        except self._client.exceptions.GoneException:
            return "gone"
        except ClientError as error:
            if _passing(error):
                return "throttled"
            raise
        except BotoCoreError:
            return "throttled"
        return "delivered"


def disconnect(management_api: ManagementApi, connection_id: str, why: Disconnect, *, now: float) -> Delivery:
    """Say why, then close the socket; `now` is in seconds. `throttled` means: it may be open still."""
    farewell = frames.frame(frames.farewell(why), frame_id=ids.new(now), now=now)
    said = management_api.post(connection_id, farewell.encode())
    return management_api.close(connection_id) if said == "delivered" else said


def _passing(error: ClientError) -> bool:
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status == 429 or status >= 500
