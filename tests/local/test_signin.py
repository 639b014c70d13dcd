"""What local/signin.py promises: an exchange at first, then refreshing, and signing in again where that fails."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from local.errors import Unable
from local.signin import EXCHANGE, ID_TOKEN, SignIn


class Services:
    """An issuer and an auth service at one address: they note what they are asked, and refuse as they are told."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.refused: set[str] = set()
        self.url = ""
        application = web.Application()
        application.add_routes([web.post("/token", self._identity), web.post("/oauth/token", self._token)])
        self._runner = web.AppRunner(application)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    def facts(self) -> dict[str, Any]:
        return {"issuer": self.url, "auth": self.url}

    async def _identity(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        return web.json_response({"id_token": f"identity-{len(self.asked)}", "expires_in": 300})

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(form)
        if form["grant_type"] in self.refused:
            return web.json_response({"error": "invalid_grant", "error_description": "no more"}, status=400)
        number = len(self.asked)
        return web.json_response({"access_token": f"access-{number}", "refresh_token": f"refresh-{number}"})


@pytest_asyncio.fixture
async def services() -> AsyncIterator[Services]:
    running = Services()
    await running.start()
    yield running
    await running.stop()


async def test_the_first_token_is_exchanged_and_the_next_is_refreshed(services):
    user = SignIn(services.facts(), "ada", groups=["admin"])
    assert [await user.token() for _ in range(3)] == ["access-2", "access-3", "access-4"]
    assert services.asked == [
        {"sub": "ada", "groups": ["admin"]},
        {"grant_type": EXCHANGE, "subject_token": "identity-1", "subject_token_type": ID_TOKEN},
        {"grant_type": "refresh_token", "refresh_token": "refresh-2"},
        {"grant_type": "refresh_token", "refresh_token": "refresh-3"},
    ]


async def test_where_refreshing_fails_it_signs_in_again(services):
    user = SignIn(services.facts(), "ada")
    await user.token()
    services.refused.add("refresh_token")
    assert await user.token() == "access-5"
    assert services.asked[-1]["grant_type"] == EXCHANGE


async def test_a_refusal_is_one_sentence_with_the_services_reason(services):
    services.refused.add(EXCHANGE)
    with pytest.raises(Unable, match=r"^There is no token for 'ada': no more$"):
        await SignIn(services.facts(), "ada").token()


async def test_a_stack_that_is_gone_is_one_sentence(services):
    await services.stop()
    with pytest.raises(Unable, match="does not answer"):
        await SignIn(services.facts(), "ada").token()
