from __future__ import annotations

import re

import pytest

from agentsocket import ids

USER, OTHER = "a" * 32, "b" * 32
FORM = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"


def test_a_ulid_is_written_as_its_specification_writes_it():
    """github.com/ulid/spec: 48 bits of milliseconds, 80 of randomness, in Crockford's base 32."""
    assert ids.ulid(1469918176.385, b"\x00" * 10) == "01ARYZ6S41" + "0" * 16
    assert ids.ulid((2**48 - 1) / 1000, b"\xff" * 10) == "7" + "Z" * 25


def test_ulids_sort_by_time():
    assert ids.ulid(1.0, b"\xff" * 10) < ids.ulid(1.01, b"\x00" * 10)


def test_two_new_ids_of_one_moment_differ():
    first, second = ids.new(1_800_000_000.5), ids.new(1_800_000_000.5)
    assert first != second
    assert first[:10] == second[:10] == ids.ulid(1_800_000_000.5, b"\x00" * 10)[:10]
    assert re.fullmatch(FORM, first)


@pytest.mark.parametrize("derived", [ids.run_id, ids.retry_id, ids.thread_id])
def test_a_derived_id_depends_on_the_user_and_the_client_s_id_only(derived):
    assert derived(USER, "m") == derived(USER, "m")
    assert len({derived(USER, "m"), derived(OTHER, "m"), derived(USER, "n")}) == 3
    assert re.fullmatch(FORM, derived(USER, "m"))


def test_a_message_its_retry_and_a_thread_of_one_name_get_three_ids():
    assert len({derived(USER, "m") for derived in (ids.run_id, ids.retry_id, ids.thread_id)}) == 3


def test_a_derived_id_never_changes():
    """It is the key of rows that live for a month: a release must find what the one before it wrote."""
    assert ids.run_id(USER, "m") == "72JDJFSX0SQ5HJXQMXZPKDRKKY"
    assert ids.retry_id(USER, "r") == "4KYGZ8K8WE90C9J49C8FPWJ20J"
    assert ids.thread_id(USER, "c") == "1VBWVXYY9G71Q4SWP0GPRRYARC"
