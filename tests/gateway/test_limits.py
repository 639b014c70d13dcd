import dataclasses

import pytest

from local.gateway import GatewayLimits


def test_the_defaults_are_awss():
    limits = GatewayLimits()
    assert (limits.frame_bytes, limits.message_bytes, limits.authorizer_result_bytes) == (32768, 131072, 8192)
    assert (limits.idle_s, limits.lifetime_s, limits.integration_timeout_s) == (600, 7200, 29)


@pytest.mark.parametrize("field", dataclasses.fields(GatewayLimits))
def test_no_limit_may_be_zero(field: "dataclasses.Field[float]"):
    with pytest.raises(ValueError, match=f"{field.name} must be greater than zero"):
        GatewayLimits(**{field.name: 0})


def test_limits_do_not_change_under_a_running_gateway():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GatewayLimits().idle_s = 1  # type: ignore[misc]
