"""Every number the gateway obeys, with AWS's values as defaults. What happens at a limit is told where it is met.

Source unless a line says otherwise: "Quotas for configuring and running a WebSocket API" in the API Gateway guide.
"""

from dataclasses import dataclass, fields

KIB = 1024


@dataclass(frozen=True, kw_only=True)
class GatewayLimits:
    """Sizes are in bytes, times in seconds. Tests set them lower instead of waiting."""

    frame_bytes: int = 32 * KIB
    """A larger frame from a client closes its connection with 1009; a larger post leaves in several frames."""

    message_bytes: int = 128 * KIB
    """A larger message from a client closes its connection with 1009; a larger post is refused with 413."""

    url_characters: int = 4096
    """A longer URL is refused with 414."""

    idle_s: float = 10 * 60
    """A connection without a message in either direction for so long is closed with 1001. Pings do not count."""

    lifetime_s: float = 2 * 60 * 60
    """A connection this old is closed with 1001, whatever it does."""

    integration_timeout_s: float = 29
    """A function that takes longer has failed; a shorter TimeoutInMillis of its integration wins."""

    authorizer_result_bytes: int = 8 * KIB
    """A longer answer of an authorizer is a broken one."""

    calls_per_second: float = 10_000
    """Calls of @connections beyond it are refused with 429. AWS: the account's throttle, shared by all its APIs."""

    client_buffer_bytes: int = 1024 * KIB
    """Posts to a client that has left so much unread are refused with 429. AWS does not publish its own number."""

    close_timeout_s: float = 2
    """How long a client may take to answer a close frame. Ours, not AWS's."""

    stop_timeout_s: float = 5
    """How long stop() waits for running functions. Ours, not AWS's."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"{field.name} must be greater than zero.")
