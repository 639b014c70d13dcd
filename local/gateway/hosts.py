"""Says which Host headers a laptop's listeners answer, against pages that rebind a name to this machine.

Origins are not checked here: on the WebSocket that is the authorizer's job, and @connections takes none at all.
"""

import ipaddress
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

REFUSAL = (
    "This gateway answers only requests addressed to this machine: connect to 127.0.0.1, "
    "or name the host in allowed_hosts when the gateway is made."
)


def is_local(hosts: Sequence[str], also: Collection[str]) -> bool:
    """Whether the values of a request's Host header are one loopback name, or one of the names in `also`."""
    name = _name(hosts[0]) if len(hosts) == 1 else None
    return name is not None and (name == "localhost" or name in also or _is_loopback(name))


def _name(host: str) -> str | None:
    """The host name in lower case, without port and brackets."""
    try:
        split = urlsplit(f"//{host}")
        return split.hostname if split.netloc == host and "@" not in host else None
    except ValueError:
        return None


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
