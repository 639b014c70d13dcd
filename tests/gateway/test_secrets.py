import logging

import pytest

from tests.gateway.fakes import FakeApi, Start, policy, raises, raw_request, returns

SECRET = "c0rrecthorse"


@pytest.mark.parametrize("failing", [False, True])
async def test_nothing_that_clients_and_functions_say_is_ever_logged(
    start: Start, caplog: pytest.LogCaptureFixture, failing: bool
):
    caplog.set_level(logging.DEBUG)
    api = FakeApi()
    api.connect_route("connect", authorizer="authorizer")
    api.route("$default", "default", two_way=True)
    api.route("$disconnect", "disconnect")
    answer = raises(SECRET) if failing else returns({"body": SECRET})
    running = await start(api, authorizer=policy(context={"token": SECRET}), default=answer, disconnect=answer)
    headers = {"Authorization": f"Bearer {SECRET}", "Cookie": SECRET}
    client = await running.connect(query=f"?ticket={SECRET}", additional_headers=headers)
    await client.send(f'{{"action": "{SECRET}"}}')
    await client.recv()
    await client.close(4000, SECRET)
    await running.functions.event("disconnect")
    await running.gateway.stop()
    # The test's own client logs what it sends.
    said = [record.getMessage() for record in caplog.records if record.name != "websockets.client"]
    assert any("connected" in line for line in said)
    assert [line for line in said if SECRET in line] == []


async def test_a_refusal_is_logged_without_its_reasons(start: Start, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    running = await start(connect=raises(SECRET))
    await running.upgrade(f"Authorization: {SECRET}", path=f"/live?ticket={SECRET}")
    said = [record.getMessage() for record in caplog.records if record.name.startswith("local.gateway")]
    assert any("refused with 502" in line for line in said)
    assert [line for line in said if SECRET in line] == []


async def test_calls_of_connections_are_not_logged(start: Start, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    running = await start()
    authority = running.gateway.management_endpoint.removeprefix("http://").partition("/")[0]
    line = f"GET /live/@connections/L0SM9cOFvHcCIhw=?ticket={SECRET} HTTP/1.1"
    await raw_request(authority, line, f"Host: {authority}", f"User-Agent: {SECRET}", "Connection: close")
    await running.gateway.stop()
    assert [line for line in caplog.messages if SECRET in line] == []
