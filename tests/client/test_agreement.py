"""The client library knows the protocol by heart: here its names are held against the published schema (G6).

What it sends and understands is checked frame by frame, wherever a test sees one (`tests/support/schema_check.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import agentsocket_client
from agentsocket.errors import DISCONNECTS
from agentsocket.protocol.messages import CONTROL, EVENTS
from agentsocket_client import frames
from agentsocket_client.session import FINAL, RECONNECT
from tests.support import schema_check

SOURCE = "".join(path.read_text() for path in sorted(Path(agentsocket_client.__file__).parent.glob("*.py")))


def test_every_event_is_an_event_to_the_client() -> None:
    """G6: and it knows one more, of a later version."""
    assert frames.EVENTS - EVENTS.keys() == {"agent_recovery"}
    assert EVENTS.keys() <= frames.EVENTS


def test_what_the_client_tells_of_is_what_the_server_pushes() -> None:
    """G6."""
    assert CONTROL.keys() >= frames.NOTICES


def test_the_client_knows_every_disconnect_code_and_what_to_do() -> None:
    """G6: final or not, as the server's table says."""
    assert {code for code, (reconnect, _) in DISCONNECTS.items() if reconnect} == RECONNECT
    assert {code for code, (reconnect, _) in DISCONNECTS.items() if not reconnect} == FINAL


def test_what_may_overtake_is_a_command() -> None:
    """G6."""
    assert schema_check.CLIENT_TYPES >= frames.UNORDERED


@pytest.mark.parametrize("kind", sorted(schema_check.CLIENT_TYPES))
def test_every_command_is_one_that_the_client_can_send(kind: str) -> None:
    """G6."""
    assert f'"{kind}"' in SOURCE


@pytest.mark.parametrize(("name", "typed"), [("Position", frames.Position), ("ResumePoint", frames.ResumePoint)])
def test_the_client_s_types_have_the_fields_that_are_published(name: str, typed: Any) -> None:
    """G6."""
    shape = schema_check.DOCUMENT["$defs"][name]
    assert typed.__required_keys__ == set(shape["required"]) == shape["properties"].keys()
