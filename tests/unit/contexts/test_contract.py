"""One contract for the three stores of contexts (K1), each on what it really uses: a table in moto, a real Redis."""

from __future__ import annotations

import math

import pytest

from agentsocket.contexts.contract import Context, change
from agentsocket.errors import BadRequest, NotFound, TooLarge, VersionConflict
from agentsocket.limits import Limits
from tests.support.context_stores import remembered

LIMITS = Limits(max_remembered=3, max_remembered_bytes=1000)


@pytest.fixture(params=["dynamodb", "redis", "tiered"])
def world(request, table, clock, redis_process):
    with remembered(request.param, table, clock, redis_process, limits=LIMITS) as world:
        world.begin_thread("ada", "t1")
        world.begin_thread("ada", "t2")
        yield world


def test_what_was_never_saved_is_empty_and_has_version_0(world):
    """K1."""
    assert world.of("ada").own.load("user.color") == Context("user.color", {}, 0)


@pytest.mark.parametrize("value", [{}, {"a": [1, 2.5, None, True, "ü\n\u2028😀"], "b": {"c": {}}}, {"": " "}])
def test_what_was_saved_is_loaded(world, value):
    """K1."""
    own = world.of("ada").own
    saved = own.save("user.color", value, version=0)
    assert (saved.name, saved.value) == ("user.color", value)
    assert own.load("user.color") == saved
    assert world.of("ada").own.load("user.color") == saved


def test_every_save_has_a_higher_version_however_quick(world):
    """K1: the clock stands still here."""
    own = world.of("ada").own
    versions = [own.save("a", {"n": 0}, version=0).version]
    for n in range(1, 5):
        versions.append(own.save("a", {"n": n}, version=versions[-1]).version)
    assert versions == sorted(set(versions))
    assert own.load("a") == Context("a", {"n": 4}, versions[-1])


def test_of_two_changes_of_one_version_one_is_told(world):
    """K4."""
    own = world.of("ada").own
    first = own.save("a", {"by": "first"}, version=0)
    won = own.save("a", {"by": "second"}, version=first.version)
    with pytest.raises(VersionConflict):
        own.save("a", {"by": "third"}, version=first.version)
    assert own.load("a") == won


def test_of_two_creations_one_is_told(world):
    """K4."""
    own = world.of("ada").own
    first = own.save("a", {"by": "first"}, version=0)
    with pytest.raises(VersionConflict):
        own.save("a", {"by": "second"}, version=0)
    assert own.load("a") == first


@pytest.mark.parametrize("version", [1, 2**53])
def test_what_is_not_there_cannot_be_changed(world, version):
    """K1."""
    own = world.of("ada").own
    with pytest.raises(VersionConflict):
        own.save("a", {}, version=version)
    assert own.load("a").version == 0


def test_contexts_of_users_and_threads_never_meet(world):
    """E7: the same name everywhere."""
    world.begin_thread("bob", "t1")
    ada, bob = world.of("ada"), world.of("bob")
    scopes = {"ada": ada.own, "ada t1": ada.of_thread("t1"), "ada t2": ada.of_thread("t2")}
    scopes |= {"bob": bob.own, "bob t1": bob.of_thread("t1")}
    for owner, scope in scopes.items():
        assert scope.load("a").version == 0, owner
        scope.save("a", {"owner": owner}, version=0)
    assert {owner: scope.load("a").value["owner"] for owner, scope in scopes.items()} == {
        owner: owner for owner in scopes
    }


@pytest.mark.parametrize("name", ["", "a b", "a#b", "a:b", "a/b", "ä", "{a}", "a=", "a\n", "x" * 65])
def test_a_name_that_may_not_stand_in_a_key_is_refused(world, name):
    """K1."""
    own = world.of("ada").own
    with pytest.raises(BadRequest) as refused:
        own.load(name)
    assert refused.value.field == "name"
    with pytest.raises(BadRequest):
        own.save(name, {}, version=0)


@pytest.mark.parametrize("name", ["a", "user.color", "A-1_b.c", "x" * 64])
def test_a_name_may_have_letters_digits_dots_hyphens_and_underscores(world, name):
    """K1."""
    world.of("ada").own.save(name, {"n": 1}, version=0)
    assert world.of("ada").own.load(name).value == {"n": 1}


def test_a_value_may_have_so_many_bytes_as_json_and_not_one_more(world):
    """K1: bytes, not characters."""
    own, frame = world.of("ada").own, len('{"a":""}')
    kept = own.save("a", {"a": "x" * (1000 - frame)}, version=0)
    with pytest.raises(TooLarge):
        own.save("a", {"a": "x" * (1001 - frame)}, version=kept.version)
    with pytest.raises(TooLarge):
        own.save("a", {"a": "ü" * 500}, version=kept.version)
    assert own.load("a") == kept


@pytest.mark.parametrize("value", [[], "text", None, {"a": math.nan}, {"a": {1, 2}}, {"a": "\ud800"}, {"a": b"x"}])
def test_what_is_no_json_object_is_refused(world, value):
    """K1."""
    with pytest.raises(BadRequest) as refused:
        world.of("ada").own.save("a", value, version=0)
    assert refused.value.field == "value"


@pytest.mark.parametrize("lifetime_s", [0, -1])
def test_a_lifetime_that_is_none_is_refused(world, lifetime_s):
    """K1."""
    with pytest.raises(BadRequest):
        world.of("ada").own.save("a", {}, version=0, lifetime_s=lifetime_s)


def test_so_many_are_remembered_and_not_one_more(world):
    """K1: of a user, and as many of each thread; what is there can be changed for ever."""
    ada = world.of("ada")
    for scope in (ada.own, ada.of_thread("t1")):
        saved = [scope.save(name, {}, version=0) for name in "abc"]
        with pytest.raises(BadRequest):
            scope.save("d", {}, version=0)
        assert scope.load("d").version == 0
        assert scope.save("a", {"n": 1}, version=saved[0].version).version
    assert ada.of_thread("t2").save("a", {}, version=0)


def test_what_has_ended_makes_room(world):
    """K1, K5: again and again."""
    own = world.of("ada").own
    own.save("kept", {}, version=0)
    for _ in range(2):
        for name in ("a", "b"):
            own.save(name, {}, version=0, lifetime_s=1)
        with pytest.raises(BadRequest):
            own.save("c", {}, version=0)
        world.let_pass(1)
    own.save("c", {}, version=0)
    own.save("d", {}, version=0)
    with pytest.raises(BadRequest):
        own.save("e", {}, version=0)
    assert [own.load(name).version > 0 for name in ("kept", "a", "b", "c", "d")] == [True, False, False, True, True]


def test_a_context_ends_when_its_lifetime_does_and_its_version_is_never_used_again(world):
    """K5."""
    own = world.of("ada").own
    first = own.save("a", {"n": 1}, version=0, lifetime_s=2)
    world.clock.advance(1)
    assert own.load("a") == first
    world.let_pass(2)
    assert own.load("a") == Context("a", {}, 0)
    with pytest.raises(VersionConflict):
        own.save("a", {}, version=first.version)
    again = own.save("a", {"n": 2}, version=0)
    assert again.version > first.version
    assert own.load("a") == again


def test_each_save_says_anew_how_long_it_is_kept(world):
    """K5: longer, for ever, and no longer for ever."""
    own = world.of("ada").own
    renewed = own.save("renewed", {}, version=0, lifetime_s=1)
    lasting = own.save("lasting", {}, version=0, lifetime_s=1)
    ending = own.save("ending", {}, version=0)
    own.save("renewed", {}, version=renewed.version, lifetime_s=60)
    own.save("lasting", {}, version=lasting.version)
    own.save("ending", {}, version=ending.version, lifetime_s=1)
    world.let_pass(1)
    assert [own.load(name).version > 0 for name in ("renewed", "lasting", "ending")] == [True, True, False]


def test_a_deleted_thread_s_contexts_are_gone_and_stay_gone(world):
    """H5: also when a worker that knew them wakes up late; nothing else is touched."""
    ada = world.of("ada")
    late = ada.of_thread("t1")
    known = late.save("a", {"n": 1}, version=0)
    others = [ada.own.save("a", {"n": 2}, version=0), ada.of_thread("t2").save("a", {"n": 3}, version=0)]
    world.hide_thread("ada", "t1")
    ada.delete_thread("t1")
    assert late.load("a").version == 0
    for version in (0, known.version):
        with pytest.raises(NotFound):
            late.save("a", {"n": 4}, version=version)
    with pytest.raises(NotFound):
        late.save("b", {}, version=0)
    ada.delete_thread("t1")
    assert [late.load(name).version for name in "ab"] == [0, 0]
    assert [ada.own.load("a"), ada.of_thread("t2").load("a")] == others


def test_a_forgotten_user_s_contexts_are_gone_with_those_of_their_threads(world):
    """E7, K1."""
    world.begin_thread("bob", "t1")
    threads = {"ada": ("t1", "t2"), "bob": ("t1",)}
    scopes = {name: [world.of(name).own, *map(world.of(name).of_thread, threads[name])] for name in threads}
    saved = {name: [scope.save("a", {"of": name}, version=0) for scope in scopes[name]] for name in scopes}
    world.of("ada").own.save("b", {}, version=0, lifetime_s=60)
    world.of("ada").erase()
    assert [scope.load("a").version for scope in scopes["ada"]] == [0, 0, 0]
    assert world.of("ada").own.load("b").version == 0
    assert [scope.load("a") for scope in scopes["bob"]] == saved["bob"]
    own = world.of("ada").own
    with pytest.raises(VersionConflict):
        own.save("a", {}, version=saved["ada"][0].version)
    world.clock.advance(1)
    assert own.save("a", {}, version=0).version > saved["ada"][0].version
    assert world.of("ada").of_thread("t1").save("a", {}, version=0).version > 0, "the thread is there still"


def test_a_change_is_merged_into_what_is_there(world):
    """RFC 7386."""
    own = world.of("ada").own
    change(own, "a", {"color": "red", "size": {"w": 1, "h": 2}})
    changed = change(own, "a", {"color": None, "size": {"h": 3}})
    assert changed.value == {"size": {"w": 1, "h": 3}}
    assert own.load("a") == changed


def test_a_change_of_a_version_that_is_no_longer_there_is_refused(world):
    """K4."""
    own = world.of("ada").own
    first = change(own, "a", {"n": 1}, version=0)
    second = change(own, "a", {"n": 2}, version=first.version)
    for version in (0, first.version):
        with pytest.raises(VersionConflict):
            change(own, "a", {"n": 3}, version=version)
    assert own.load("a") == second


def test_a_change_says_how_long_it_is_kept(world):
    """K5."""
    own = world.of("ada").own
    change(own, "a", {"n": 1}, lifetime_s=1)
    world.let_pass(1)
    assert own.load("a").version == 0


def test_a_store_that_answers_says_so(world):
    """L2."""
    assert world.store.state() == "ok"
