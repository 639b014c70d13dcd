"""The seam to @connections, against a little HTTP server that answers as API Gateway does."""

from __future__ import annotations

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from agentsocket.aws.management_api import Gateway
from tests.support.fakes import Connections


@pytest.fixture
def connections():
    running = Connections()
    yield running
    running.stop()


@pytest.fixture
def gateway(connections):
    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=connections.url,
        config=Config(retries={"total_max_attempts": 1}),
    )
    return Gateway(client)


def test_a_frame_is_posted_to_its_connection(gateway, connections):
    assert gateway.post("L0SM9cOFvHcCIhw=", b"{}") == "delivered"
    assert connections.seen == [("L0SM9cOFvHcCIhw=", b"{}")]


@pytest.mark.parametrize(
    ("status", "delivery"),
    [(410, "gone"), (429, "throttled"), (500, "throttled"), (503, "throttled"), (0, "throttled")],
)
def test_what_api_gateway_answers_is_told_in_our_words(gateway, connections, status, delivery):
    connections.status = status
    assert gateway.post("c", b"{}") == delivery


def test_a_refusal_that_is_a_fault_of_ours_is_not_hidden(gateway, connections):
    connections.status = 403
    with pytest.raises(ClientError):
        gateway.post("c", b"{}")


@pytest.mark.parametrize(
    ("status", "answer"), [(204, "delivered"), (410, "gone"), (429, "throttled"), (0, "throttled")]
)
def test_closing_says_what_came_of_it(gateway, connections, status, answer):
    connections.status = status
    assert gateway.close("c") == answer
    assert connections.seen == [("c", None)]
