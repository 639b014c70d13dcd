"""L1: what web pages of other origins may read."""

from __future__ import annotations

import pytest

from agentsocket.http_api import cors

ORIGINS = frozenset({"https://app.example.com", "https://admin.example.com"})


@pytest.mark.parametrize("origin", sorted(ORIGINS))
def test_a_listed_origin_is_named_by_itself_with_credentials(origin):
    assert cors.headers(origin, origins=ORIGINS) == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
    }


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "*",
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "HTTPS://APP.EXAMPLE.COM",
    ],
)
def test_any_other_origin_is_not_repeated(origin):
    assert cors.headers(origin, origins=ORIGINS) == {"Vary": "Origin"}
    assert cors.preflight(origin, origins=ORIGINS, methods={"GET"}) == {"Vary": "Origin"}


def test_a_preflight_names_the_path_s_methods_and_no_others():
    answered = cors.preflight("https://app.example.com", origins=ORIGINS, methods={"POST", "GET"})
    assert answered["Access-Control-Allow-Methods"] == "GET, POST"
    assert "Authorization" in answered["Access-Control-Allow-Headers"]
    assert answered["Vary"] == "Origin"
