from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from agentsocket.protocol import frames, schema
from agentsocket.protocol import messages as protocol

PUBLISHED = Path(__file__).parents[3] / "clients" / "protocol.schema.json"


def test_the_published_schema_is_the_code_s():
    assert PUBLISHED.read_bytes() == schema.publish(), "run `make schema`"


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema.document())


@pytest.mark.parametrize("side", ["client", "server"])
def test_every_payload_of_the_protocol_is_in_the_schema(side):
    kinds = {branch["properties"]["type"]["const"] for branch in schema.document()["$defs"][side]["oneOf"]}
    tables = {"client": set(protocol.COMMANDS), "server": set(protocol.EVENTS) | set(protocol.CONTROL)}
    assert kinds == tables[side]


def test_a_server_frame_matches_and_a_distorted_one_does_not():
    """G2."""
    document = schema.document()
    server = jsonschema.Draft202012Validator({**document, "$ref": "#/$defs/server"})
    frame = json.loads(frames.frame(protocol.Unsubscribed(thread_id="t"), frame_id="e", now=1).encode())
    assert server.is_valid(frame)
    assert not server.is_valid({**frame, "payload": {"thread": "t"}})
    assert not server.is_valid({**frame, "surprise": 1})
