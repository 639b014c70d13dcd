from __future__ import annotations

import pytest

from agentsocket import settings
from agentsocket.errors import SettingsError

TRUST = {"ISSUER": "https://issuer.example", "AUDIENCE": "agentsocket", "JWKS_URL": "https://issuer.example/jwks"}
KEYS = '{"keys": []}'
ASKED = {
    "INTROSPECTION": "all",
    "PRIVILEGED_SCOPES": "admin  export",
    "INTROSPECTION_URL": "https://auth.example/oauth/introspect",
    "INTROSPECTION_CLIENT": "agentsocket",
    "INTROSPECTION_SECRET": "a-generated-secret",
}


def test_trust_is_read_whole():
    trust = settings.trust({**TRUST, "JWKS": KEYS})
    assert (trust.issuer, trust.audience) == ("https://issuer.example", "agentsocket")
    assert (trust.jwks, trust.jwks_url) == (KEYS, "https://issuer.example/jwks")


@pytest.mark.parametrize("only", ["JWKS", "JWKS_URL"])
def test_either_source_of_keys_is_enough(only):
    assert settings.trust({**TRUST, "JWKS_URL": "", only: {"JWKS": KEYS}.get(only, TRUST["JWKS_URL"])})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ISSUER": ""}, "ISSUER"),
        ({"AUDIENCE": ""}, "AUDIENCE"),
        ({"JWKS_URL": ""}, "JWKS"),
        ({"JWKS": "keys"}, "JWKS"),
        ({"JWKS": '{"keys": {}}'}, "JWKS"),
        ({"JWKS": "[]"}, "JWKS"),
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


ENDPOINT = "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI"


@pytest.mark.parametrize(
    ("read", "name", "right", "wrong"),
    [
        (settings.table, "TABLE_NAME", "agent.socket-1_x", ["a", "my table", "arn:aws:dynamodb:x", "x" * 256, "t\n"]),
        (settings.generation, "GENERATION", "restored2", ["1.2", "x" * 17, "1 "]),
        (settings.run_queue, "QUEUE_URL", "https://q.example/1/runs.fifo", ["runs.fifo", "https://q.example/1/runs"]),
        (
            settings.dead_letter_queue,
            "DEAD_LETTER_QUEUE_URL",
            "http://127.0.0.1:1/1/dead.fifo",
            ["https://[::1/a.fifo"],
        ),
        (settings.control_queue, "CONTROL_QUEUE_URL", "https://q.example/1/control", ["control", "arn:aws:sqs:x"]),
        (settings.management_endpoint, ENDPOINT, "https://api.example/live", ["wss://api.example/live", "https://"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_setting_is_required_by_name_and_spelled_right(read, name, right, wrong):
    """L4."""
    assert read({name: right}) == right
    for given in ({}, {name: ""}, *({name: value} for value in wrong)):
        with pytest.raises(SettingsError, match=name):
            read(given)


def test_all_that_is_missing_of_what_belongs_together_is_in_one_error():
    """L4."""
    with pytest.raises(SettingsError, match="ISSUER and AUDIENCE are not set"):
        settings.trust({"JWKS": KEYS})
    with pytest.raises(SettingsError, match="INTROSPECTION_URL and INTROSPECTION_CLIENT and INTROSPECTION_SECRET are"):
        settings.introspection({"INTROSPECTION": "all"})


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


@pytest.mark.parametrize("role", ["", "arn:aws:iam::123456789012:role/a-stack-TenantRole-1A2B3C"])
def test_a_role_per_user_is_an_arn_or_none(role):
    assert settings.tenant_role({"TENANT_ROLE": role}) == role


@pytest.mark.parametrize("role", ["TenantRole", "arn:aws:iam::123456789012:user/ada", "true"])
def test_any_other_role_per_user_is_named(role):
    """L4."""
    with pytest.raises(SettingsError, match="TENANT_ROLE"):
        settings.tenant_role({"TENANT_ROLE": role})


REDIS = {"CONTEXT_STORE": "tiered", "REDIS_URL": "rediss://cache.example"}


@pytest.mark.parametrize("said", [{}, {"CONTEXT_STORE": ""}, {"CONTEXT_STORE": "dynamodb", "REDIS_CLUSTER": "false"}])
def test_contexts_are_kept_in_dynamodb_unless_it_is_said(said):
    assert settings.contexts(said) == settings.ContextSettings("dynamodb", None)


@pytest.mark.parametrize("store", ["redis", "tiered"])
def test_redis_is_read_whole_and_its_password_is_never_shown(store):
    login = {"REDIS_CLUSTER": "true", "REDIS_USERNAME": "service", "REDIS_PASSWORD": "p@ss:word"}
    chosen = settings.contexts({"CONTEXT_STORE": store, "REDIS_URL": "redis://cache.example:7000/", **login})
    assert (chosen.store, chosen.redis) == (
        store,
        settings.RedisAddress("cache.example", 7000, False, True, "service", "p@ss:word"),
    )
    assert "p@ss" not in repr(chosen)


def test_redis_has_tls_when_its_address_says_so_and_a_port_of_its_own():
    redis = settings.contexts(REDIS).redis
    assert redis is not None
    assert (redis.host, redis.port, redis.tls, redis.cluster, redis.username) == (
        "cache.example",
        6379,
        True,
        False,
        "",
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"CONTEXT_STORE": "memcached"}, "CONTEXT_STORE"),
        ({"CONTEXT_STORE": "dynamodb"}, "REDIS_URL"),
        ({"REDIS_URL": ""}, "REDIS_URL"),
        ({"REDIS_URL": "cache.example:6379"}, "REDIS_URL"),
        ({"REDIS_URL": "https://cache.example"}, "REDIS_URL"),
        ({"REDIS_URL": "rediss://cache.example:port"}, "REDIS_URL"),
        ({"REDIS_URL": "rediss://cache.example:99999"}, "REDIS_URL"),
        ({"REDIS_URL": "rediss://cache.example/1"}, "REDIS_URL"),
        ({"REDIS_URL": "rediss://cache.example?ssl_cert_reqs=none"}, "REDIS_URL"),
        ({"REDIS_URL": "rediss://service:word@cache.example"}, "REDIS_PASSWORD"),
        ({"REDIS_URL": "rediss://"}, "REDIS_URL"),
        ({"REDIS_USERNAME": "service"}, "REDIS_PASSWORD"),
        ({"REDIS_CLUSTER": "yes"}, "REDIS_CLUSTER"),
    ],
)
def test_what_contradicts_itself_about_redis_is_named(change, named):
    """L4."""
    with pytest.raises(SettingsError, match=named) as refused:
        settings.contexts(REDIS | change)
    assert "word@" not in str(refused.value)


@pytest.mark.parametrize("name", ["REDIS_URL", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_CLUSTER"])
def test_redis_without_a_store_that_uses_it_is_an_error(name):
    """L4: somebody expects it to be used."""
    said = "true" if name == "REDIS_CLUSTER" else "rediss://cache.example"
    with pytest.raises(SettingsError, match=f"{name}.*CONTEXT_STORE"):
        settings.contexts({name: said})
