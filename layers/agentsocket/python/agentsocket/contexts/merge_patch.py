"""JSON Merge Patch (RFC 7386): what a change makes of a value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge(value: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`value` as `patch` changes it: null removes a member, an object is merged, anything else takes its place.

    Neither is changed; what the patch does not touch is in the result as it is in `value`.
    """
    merged = dict(value)
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = patched(merged.get(name), change)
    return merged


def patched(target: Any, patch: Any) -> Any:
    """MergePatch of RFC 7386, section 2, for any two JSON values."""
    if not isinstance(patch, Mapping):
        return patch
    return merge(target if isinstance(target, Mapping) else {}, patch)
