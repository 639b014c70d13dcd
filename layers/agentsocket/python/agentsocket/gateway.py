"""@connections: what the server says to a socket, and what API Gateway answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

Delivery = Literal["delivered", "gone", "throttled"]


class Gateway:
    """The management API through its boto3 client, which brings the address, the time-outs and its own retries."""

    def __init__(self, client: ApiGatewayManagementApiClient) -> None:
        self._client = client

    def post(self, connection_id: str, frame: bytes) -> Delivery:
        """Send one frame (at most 30 KB). `throttled` means: not delivered, a later try may succeed."""
        try:
            self._client.post_to_connection(ConnectionId=connection_id, Data=frame)
        except self._client.exceptions.GoneException:
            return "gone"
        except ClientError as error:
            if _passing(error):
                return "throttled"
            raise
        except BotoCoreError:
            return "throttled"
        return "delivered"

    def close(self, connection_id: str) -> None:
        """Close a socket; one that is closed already is no error."""
        try:
            self._client.delete_connection(ConnectionId=connection_id)
        except self._client.exceptions.GoneException:
            return


def _passing(error: ClientError) -> bool:
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status == 429 or status >= 500
