"""A run that is told to end (SIGTERM) ends as by Ctrl-C: fixtures are torn down, and what they started is stopped.

A pytest plugin (`tests/conftest.py` names it).
"""

from __future__ import annotations

import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
