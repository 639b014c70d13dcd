"""L1: what web pages of other origins may read."""

from __future__ import annotations

import pytest

from lambdakit import cors

ORIGINS = frozenset({"https://app.example.com", "https://admin.example.com"})
APP = "https://app.example.com"


def preflight(origin, methods, readable=""):
    return cors.preflight(
        origin,
        origins=ORIGINS,
        methods=methods,
        request_headers="Authorization, Content-Type",
        max_age_s=600,
        readable=readable,
    )


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
    assert preflight(origin, {"GET"}) == {"Vary": "Origin"}


def test_a_preflight_names_the_path_s_methods_and_no_others():
    answered = preflight(APP, {"POST", "GET"})
    assert answered["Access-Control-Allow-Methods"] == "GET, POST"
    assert answered["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
    assert answered["Access-Control-Max-Age"] == "600"
    assert answered["Vary"] == "Origin"


def test_a_page_reads_more_headers_only_where_they_are_listed():
    exposed = "Access-Control-Expose-Headers"
    assert cors.headers(APP, origins=ORIGINS, readable="Retry-After")[exposed] == "Retry-After"
    assert preflight(APP, {"GET"}, readable="Retry-After")[exposed] == "Retry-After"
    assert exposed not in preflight(APP, {"GET"})
    assert cors.headers("https://other.example", origins=ORIGINS, readable="Retry-After") == {"Vary": "Origin"}
