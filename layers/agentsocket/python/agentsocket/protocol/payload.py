"""What all payloads share."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

JSONObject = dict[str, Any]


class Payload(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What stands under `payload`: absent optional fields are absent on the wire, unknown ones are refused."""
