"""The seam to @connections, against a little HTTP server that answers as API Gateway does."""

from __future__ import annotations

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from agentsocket.aws.management_api import ManagementApi
from tests.support.fakes import Connections


@pytest.fixture
def connections():
    running = Connections()
    yield running
    running.stop()


@pytest.fixture
def management_api(connections):
    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=connections.url,
        config=Config(retries={"total_max_attempts": 1}),
    )
    return ManagementApi(client)


def test_a_frame_is_posted_to_its_connection(management_api, connections):
    assert management_api.post("L0SM9cOFvHcCIhw=", b"{}") == "delivered"
    assert connections.seen == [("L0SM9cOFvHcCIhw=", b"{}")]


@pytest.mark.parametrize(
    ("status", "delivery"),
    [(410, "gone"), (429, "throttled"), (500, "throttled"), (503, "throttled"), (0, "throttled")],
)
def test_what_api_gateway_answers_is_told_in_our_words(management_api, connections, status, delivery):
    connections.status = status
    assert management_api.post("c", b"{}") == delivery


def test_a_refusal_that_is_a_fault_of_ours_is_not_hidden(management_api, connections):
    connections.status = 403
    with pytest.raises(ClientError):
        management_api.post("c", b"{}")


@pytest.mark.parametrize(
    ("status", "answer"), [(204, "delivered"), (410, "gone"), (429, "throttled"), (0, "throttled")]
)
def test_closing_says_what_came_of_it(management_api, connections, status, answer):
    connections.status = status
    assert management_api.close("c") == answer
    assert connections.seen == [("c", None)]
