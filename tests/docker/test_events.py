"""Every file of events/ through its function in Lambda's own container: the build, the layers and the rows are real."""

import asyncio
import json

import pytest

from agentsocket import ids
from agentsocket.storage import keys
from local.invoke import invoke
from tests.support.outcomes import ADA, OUTCOMES

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("event", OUTCOMES)
def test_an_event_has_its_outcome(functions, event):
    OUTCOMES[event](functions.answer(event))


def test_the_workers_event_runs_an_agent_to_its_end(functions):
    assert functions.answer("worker-run") == {"batchItemFailures": []}
    bench = functions.bench
    table = bench.sam.access.client("dynamodb")
    key = keys.run(ADA, ids.run_id(ADA, "question-1"))
    row = table.get_item(TableName=bench.outputs["TableName"], Key={name: {"S": text} for name, text in key.items()})
    assert row["Item"]["state"] == {"S": "completed"}


@pytest.mark.parametrize(("event", "status"), [("authorizer-valid", 0), ("authorizer-no-token", 1)])
def test_invoke_prints_the_answer_and_fails_if_the_function_raised(tmp_path, capsys, event, status):
    assert asyncio.run(invoke("authorizer", event, folder=tmp_path)) == status
    answer = json.loads(capsys.readouterr().out)
    OUTCOMES[event](answer)
