from __future__ import annotations

import pytest

from agentsocket import settings
from agentsocket.errors import SettingsError

TRUST = {"ISSUER": "https://issuer.example", "AUDIENCE": "agentsocket", "JWKS_URL": "https://issuer.example/jwks"}


def test_trust_is_read_whole():
    trust = settings.trust({**TRUST, "ALLOWED_ORIGINS": "https://a.example, https://b.example"})
    assert trust.issuer == "https://issuer.example"
    assert trust.origins == {"https://a.example", "https://b.example"}


def test_no_origin_is_allowed_by_default():
    assert settings.trust(TRUST).origins == frozenset()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ISSUER": ""}, "ISSUER"),
        ({"AUDIENCE": ""}, "AUDIENCE"),
        ({"JWKS_URL": ""}, "JWKS"),
        ({"JWKS": "{}"}, "JWKS"),
        ({"JWKS_URL": "http://issuer.example/jwks"}, "JWKS_URL"),
        ({"JWKS_URL": "file:///etc/passwd"}, "JWKS_URL"),
        ({"ISSUER": "http://issuer.example"}, "ISSUER"),
        ({"ALLOWED_ORIGINS": "*"}, "ALLOWED_ORIGINS"),
        ({"ALLOWED_ORIGINS": "https://a.example,null"}, "ALLOWED_ORIGINS"),
    ],
)
def test_what_is_missing_or_contradictory_is_named(change, named):
    """L4."""
    with pytest.raises(SettingsError, match=named):
        settings.trust({**TRUST, **change})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_plain_http_is_for_loopback_only(host):
    assert settings.trust({**TRUST, "JWKS_URL": f"http://{host}:8000/jwks"}).jwks_url


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (settings.table, "TABLE_NAME"),
        (settings.generation, "GENERATION"),
        (settings.run_queue, "QUEUE_URL"),
        (settings.dead_letter_queue, "DEAD_LETTER_QUEUE_URL"),
        (settings.management_endpoint, "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI"),
    ],
)
def test_each_setting_is_required_by_name(read, name):
    """L4."""
    assert read({name: "value"}) == "value"
    with pytest.raises(SettingsError, match=name):
        read({})
