"""Stories hold what they are there to hold, often enough that a few thousand seeds judge it."""

from __future__ import annotations

from random import Random

from tests.simulation import generating

_STORIES = [generating.story(Random(seed)) for seed in range(1500)]


def test_what_is_rare_is_there():
    steps = [(story, step) for story in _STORIES for step in story.steps]
    owners = [
        (
            story.devices[s.device],
            {e.thread: story.devices[e.device] for e in reversed(story.steps) if e.do == "send"},
            s,
        )
        for story, s in steps
    ]
    assert sum(step.do == "subscribe" and threads[step.thread] != user for user, threads, step in owners) >= 10
    assert sum(step.do == "read" and len(step.text) > 128 * 1024 for _, step in steps) >= 20
    assert sum(step.do == "sign_out" for _, step in steps) >= 100
    assert sum(step.do == "stop" for seed in range(100) for step in generating.following(Random(seed)).steps) >= 30


def test_an_ageing_story_has_tokens_that_last():
    aging = [story for story in _STORIES if any(step.pause_s > 3600 for step in story.steps)]
    assert len(aging) >= 10
    assert {generating.making(Random(seed), story).token_life_s for seed, story in enumerate(aging)} == {900}
    assert min(generating.making(Random(seed), _STORIES[0]).token_life_s for seed in range(100)) == 40
