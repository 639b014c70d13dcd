from __future__ import annotations

import pytest

from agentsocket import settings
from agentsocket.errors import SettingsError

TRUST = {"ISSUER": "https://issuer.example", "AUDIENCE": "agentsocket", "JWKS_URL": "https://issuer.example/jwks"}
ASKED = {
    "INTROSPECTION": "all",
    "PRIVILEGED_SCOPES": "admin  export",
    "INTROSPECTION_URL": "https://auth.example/oauth/introspect",
    "INTROSPECTION_CLIENT": "agentsocket",
    "INTROSPECTION_SECRET": "a-generated-secret",
}


def test_trust_is_read_whole():
    trust = settings.trust({**TRUST, "JWKS": "{}"})
    assert (trust.issuer, trust.audience) == ("https://issuer.example", "agentsocket")
    assert (trust.jwks, trust.jwks_url) == ("{}", "https://issuer.example/jwks")


@pytest.mark.parametrize("only", ["JWKS", "JWKS_URL"])
def test_either_source_of_keys_is_enough(only):
    assert settings.trust({**TRUST, "JWKS_URL": "", only: "https://issuer.example/jwks"})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ISSUER": ""}, "ISSUER"),
        ({"AUDIENCE": ""}, "AUDIENCE"),
        ({"JWKS_URL": ""}, "JWKS"),
        ({"JWKS_URL": "http://issuer.example/jwks"}, "JWKS_URL"),
        ({"JWKS_URL": "file:///etc/passwd"}, "JWKS_URL"),
        ({"ISSUER": "http://issuer.example"}, "ISSUER"),
    ],
)
def test_what_trust_misses_is_named(change, named):
    """L4."""
    with pytest.raises(SettingsError, match=named):
        settings.trust({**TRUST, **change})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_plain_http_is_for_loopback_only(host):
    assert settings.trust({**TRUST, "JWKS_URL": f"http://{host}:8000/jwks"}).jwks_url
    assert settings.introspection({**ASKED, "INTROSPECTION_URL": f"http://{host}:8000/oauth/introspect"}).url


def test_origins_are_a_list_and_none_by_default():
    assert settings.origins({"ALLOWED_ORIGINS": "https://a.example, https://b.example"}) == {
        "https://a.example",
        "https://b.example",
    }
    assert settings.origins({}) == frozenset()


@pytest.mark.parametrize("listed", ["*", "https://a.example,null"])
def test_an_origin_that_is_everybody_s_is_an_error(listed):
    """L4."""
    with pytest.raises(SettingsError, match="ALLOWED_ORIGINS"):
        settings.origins({"ALLOWED_ORIGINS": listed})


def test_a_token_in_the_query_must_be_turned_on():
    assert [settings.token_in_query({"TOKEN_IN_QUERY": said}) for said in ("", "false", "true")] == [False, False, True]
    assert settings.token_in_query({}) is False


@pytest.mark.parametrize("said", ["True", "1", "yes"])
def test_a_switch_is_true_or_false_and_nothing_like_it(said):
    """L4."""
    with pytest.raises(SettingsError, match="TOKEN_IN_QUERY"):
        settings.token_in_query({"TOKEN_IN_QUERY": said})


def test_introspection_is_read_whole_and_its_secret_is_never_shown():
    asked = settings.introspection(ASKED)
    assert asked.demand == "all"
    assert asked.privileged == {"admin", "export"}
    assert (asked.url, asked.client, asked.secret) == (
        "https://auth.example/oauth/introspect",
        "agentsocket",
        "a-generated-secret",
    )
    assert "a-generated-secret" not in repr(asked)


@pytest.mark.parametrize("environment", [{}, {"INTROSPECTION": "none", "INTROSPECTION_URL": ""}])
def test_without_introspection_nothing_of_it_is_needed(environment):
    assert settings.introspection(environment).demand == "none"


@pytest.mark.parametrize("demand", ["privileged", "all"])
@pytest.mark.parametrize("missing", ["INTROSPECTION_URL", "INTROSPECTION_CLIENT", "INTROSPECTION_SECRET"])
def test_what_introspection_misses_is_named(demand, missing):
    """L4."""
    with pytest.raises(SettingsError, match=missing):
        settings.introspection({**ASKED, "INTROSPECTION": demand, missing: ""})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"INTROSPECTION": "some"}, "INTROSPECTION must be none or privileged or all"),
        ({"INTROSPECTION_URL": "http://auth.example/oauth/introspect"}, "INTROSPECTION_URL"),
    ],
)
def test_what_is_wrong_with_introspection_is_named(change, named):
    """L4."""
    with pytest.raises(SettingsError, match=named):
        settings.introspection({**ASKED, **change})


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (settings.table, "TABLE_NAME"),
        (settings.generation, "GENERATION"),
        (settings.run_queue, "QUEUE_URL"),
        (settings.dead_letter_queue, "DEAD_LETTER_QUEUE_URL"),
        (settings.control_queue, "CONTROL_QUEUE_URL"),
        (settings.management_endpoint, "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI"),
    ],
)
def test_each_setting_is_required_by_name(read, name):
    """L4."""
    assert read({name: "value"}) == "value"
    with pytest.raises(SettingsError, match=name):
        read({})


@pytest.mark.parametrize(
    "address", ["https:", "https://", "https://[::1", "ftp://issuer.example", "http://issuer.example"]
)
@pytest.mark.parametrize("name", ["ISSUER", "JWKS_URL"])
def test_what_is_no_secure_address_is_one_error_that_names_the_setting(name, address):
    """L4."""
    given = {"ISSUER": "https://issuer.example", "AUDIENCE": "a", "JWKS_URL": "https://issuer.example/jwks"}
    assert settings.trust(given).issuer == "https://issuer.example"
    with pytest.raises(SettingsError, match=name):
        settings.trust({**given, name: address})
