"""What may go wrong in a simulated world, how often, and until when. Drawn from the seed; no effects in here."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

# How often each happens: per AWS call, per post, per delivery, per connection. A kind that a seed does not have is 0.
KINDS: dict[str, float] = {
    "refused": 0.04,  # a call is throttled, or fails, before it has any effect
    "outage": 0.001,  # a service refuses everybody for half a minute at most
    "answer_lost": 0.03,  # a call takes effect, and its answer never comes
    "hung": 0.015,  # a call hangs; it takes effect long after its caller has given up on it
    "conflict": 0.03,  # a transaction meets another one
    "killed": 0.01,  # the process dies at a call, before or after it took effect
    "frozen": 0.006,  # the process sleeps for up to a minute, and wakes as if nothing had been
    "redelivered": 0.15,  # a record returns while it is being handled, though it was hidden
    "slow_queue": 0.2,  # a record is handed out late
    "posts_dropped": 0.02,  # a frame gets lost, and its connection soon after
    "posts_doubled": 0.05,
    "posts_reordered": 0.15,
    "posts_throttled": 0.15,
    "cut": 0.25,  # of connections: the network fails some time after the upgrade
    "half_open": 0.5,  # of cuts: the server goes on posting into the void
    "disconnect_lost": 0.3,  # $disconnect is not invoked
    "checks_doubled": 0.2,  # the control queue delivers twice
    "invocations_reordered": 0.2,  # a frame's invocation begins late
}


_GRAVE = ("killed", "frozen", "hung", "answer_lost", "redelivered", "outage")  # what delivery is built against


@dataclass(slots=True)
class Faults:
    """The rates of one seed; `on` ends when the faults are over."""

    rates: dict[str, float] = field(default_factory=dict)
    on: bool = True

    def strike(self, kind: str, random: Random) -> bool:
        """Whether it happens now. Draws only where it may happen."""
        rate = self.rates.get(kind, 0.0)
        return self.on and rate > 0 and random.random() < rate

    @property
    def none(self) -> bool:
        """Whether nothing can go wrong at all."""
        return not self.rates


def drawn(random: Random) -> Faults:
    """Many seeds have few kinds, some have all, some none: a rare sequence needs quiet around it."""
    kinds = list(KINDS)
    number = random.choice((0, 1, 1, 2, 2, 3, 3, 4, 6, 8, len(kinds)))
    chosen = random.sample(kinds, number) + random.choices(_GRAVE, k=min(number, 1))
    return Faults({kind: KINDS[kind] * random.choice((0.5, 1.0, 2.0)) for kind in chosen})
