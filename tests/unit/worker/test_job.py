"""One run in one worker as a value: whose, which agent, which attempt."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentsocket.limits import Limits
from agentsocket.worker import claim
from tests.support.fakes import Scripted
from tests.support.world import World


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, runtime, Scripted([]))
    world.connect(ada, "a1")
    return world


@pytest.fixture
def job(world, ada):
    return world.job(ada, world.send(ada, "a1", "hi", message_id="m1"))


def test_the_attempt_after_those_that_were_has_a_message_id_of_its_own(world, ada, job):
    assert (job.lease.attempt, job.message_id) == (1, f"{job.run.run_id}.1")
    begun = replace(job.run, attempts=1)
    following = world.job(ada, {"run_id": begun.run_id}, run=begun, lease=claim.lease_for(begun, job.store))
    assert (following.lease.attempt, following.message_id) == (2, f"{begun.run_id}.2")
    assert following.lease.owner != job.lease.owner


def test_a_message_that_names_no_agent_is_the_default_one_s(world, ada, job):
    assert job.agent_name == "usage_analyst"
    named = world.job(ada, {"run_id": job.run.run_id}, run=replace(job.run, agent="other"))
    assert named.agent_name == "other"


def test_its_log_is_that_of_the_run_s_thread(job):
    job.log.take_lease(job.lease)
    assert job.store.log(job.run.thread_id).meta().lease_owner == job.lease.owner


def test_its_limits_are_the_runtime_s(world, ada, job):
    runtime = replace(world.runtime, limits=Limits(max_attempts=9))
    assert world.job(ada, {"run_id": job.run.run_id}, runtime=runtime).limits.max_attempts == 9
