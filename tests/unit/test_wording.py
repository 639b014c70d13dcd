"""Phrases of error texts: numbers that can be read, waits that are never too short, and quotations that do no harm."""

from __future__ import annotations

import re

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from agentsocket import wording

UNIT_MS = {"s": 1000, "min": 60_000, "h": 3_600_000}


def test_a_size_stands_beside_its_limit():
    assert wording.too_large("context", 9013, 8192) == "context is 9,013 bytes; the limit is 8,192"
    assert wording.too_large("title", 201, 200, "characters") == "title is 201 characters; the limit is 200"


@pytest.mark.parametrize(
    ("wait_ms", "text"),
    [
        (1, "retry after 1 s"),
        (1000, "retry after 1 s"),
        (1001, "retry after 2 s"),
        (120_000, "retry after 120 s"),
        (120_001, "retry after 3 min"),
        (7_200_000, "retry after 120 min"),
        (86_399_999, "retry after 24 h"),
    ],
)
def test_a_wait_in_the_unit_that_suits_it(wait_ms, text):
    assert wording.retry(wait_ms) == text


@given(st.integers(1, 10**9))
def test_a_wait_in_words_is_never_shorter_than_the_number_and_less_than_a_unit_longer(wait_ms):
    said = re.fullmatch(r"retry after ([\d,]+) (s|min|h)", wording.retry(wait_ms))
    assert said
    unit = UNIT_MS[said[2]]
    assert wait_ms <= int(said[1].replace(",", "")) * unit < wait_ms + unit


@given(st.text())
def test_a_quotation_is_short_and_printable_and_cannot_end_itself(name):
    shown = wording.quoted(name)
    assert len(shown) <= wording.MAX_QUOTED + 1
    assert not shown or shown.isprintable()
    assert not set(shown) & set('`"\\')


def test_a_plain_name_is_quoted_as_it_is():
    assert wording.quoted("message_id") == "message_id"
    assert wording.quoted("x" * 65) == "x" * 64 + "…"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "Query"),
            "ThrottlingException",
        ),
        (ClientError({}, "Query"), "ClientError"),
        (ReadTimeoutError(endpoint_url="https://secret.example"), "ReadTimeoutError"),
    ],
)
def test_a_fault_of_aws_is_one_word(error, text):
    assert wording.fault(error) == text
