import pytest

from local.gateway.hosts import is_local


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8080", "LocalHost", "localhost:1", "127.255.0.1", "[::1]", "[::1]:80"]
)
def test_loopback_in_any_spelling_is_local(host: str):
    assert is_local([host], ())


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "10.0.0.1",
        "0.0.0.0",  # noqa: S104
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1/evil.example",
        "127.0.0.1?evil.example",
        "[::1",
        "[::2]",
        "127.1",
    ],
)
def test_everything_else_is_not(host: str):
    assert not is_local([host], ())


@pytest.mark.parametrize("hosts", [[], ["127.0.0.1", "evil.example"], ["127.0.0.1", "127.0.0.1"]])
def test_there_must_be_exactly_one(hosts: list[str]):
    assert not is_local(hosts, ())


def test_a_named_host_is_local_without_its_port():
    assert is_local(["Bridge.internal:80"], {"bridge.internal"})
    assert not is_local(["other.internal"], {"bridge.internal"})
