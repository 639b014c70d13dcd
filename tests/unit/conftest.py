"""Unit tests run in virtual time: pauses take none, and what is decided by their order is decided so on any machine."""

from __future__ import annotations

from tests.support.virtual_time import VirtualLoop


def pytest_asyncio_loop_factories() -> dict[str, type[VirtualLoop]]:
    return {"virtual": VirtualLoop}
