from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from agentsocket import encoded_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def size_in_a_frame(text):
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


@given(TEXT)
def test_size_is_what_a_frame_pays(text):
    # msgspec escapes DEL as json does not; never fewer bytes, and never more than six a character.
    assert size_in_a_frame(text.replace("\x7f", "")) <= encoded_text.encoded_bytes(text) <= 6 * len(text.encode())


@given(TEXT, st.integers(12, 100))
def test_a_preview_is_the_start_and_fits(text, limit):
    shown = encoded_text.preview(text, limit)
    assert text.startswith(shown)
    assert encoded_text.encoded_bytes(shown) <= limit
    assert shown == text or encoded_text.encoded_bytes(text) > limit


@given(TEXT, st.integers(12, 100))
def test_pieces_fit_and_join_to_the_text(text, limit):
    parts = encoded_text.pieces(text, limit)
    assert "".join(parts) == text
    assert all(encoded_text.encoded_bytes(part) <= limit for part in parts)
