from __future__ import annotations

import re

import pytest

from agentsocket.storage import keys

USER = "a" * 32


def test_every_key_of_a_user_is_under_the_user():
    """security: a LeadingKeys condition on USER#<u> and USER#<u>#* covers all of them."""
    partition = keys.log(USER, "t")
    made = [
        keys.connection(USER, "c="),
        keys.run_pointer(USER, "r"),
        keys.run(USER, "r"),
        keys.thread(USER, "t"),
        keys.meta(partition),
        keys.event(partition, 1),
        keys.message(partition, 1),
        keys.content_head(partition, "m"),
        keys.content(partition, "m", 0),
        keys.uploads(USER),
        keys.part(USER, "m", 1),
    ]
    assert all(re.fullmatch(rf"USER#{USER}(#.*)?", key["PK"]) for key in made)


@pytest.mark.parametrize("name", ["", "a#b", "a b", "*", "a\n", "é", "x" * 129])
def test_an_id_that_may_not_stand_in_a_key_is_refused(name):
    with pytest.raises(ValueError, match="characters"):
        keys.thread(USER, name)


def test_seqs_sort_as_numbers():
    assert keys.event_sort(9) < keys.event_sort(10) < keys.event_sort(keys.LAST_SEQ)
