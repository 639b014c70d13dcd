"""A story drawn from a seed: a few people, devices and threads, and what they do to each other. Pure."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from agentsocket.limits import Limits
from tests.simulation.agents import SCRIPT
from tests.simulation.deployment import Making
from tests.simulation.stories import Action, Step, Story

_AGE_S = 6000.0
_STOPPED_SHARE = 0.5  # of quiet stories
_FOREIGN_SHARE = 0.05  # of subscribes: they ask for somebody else's thread
_READ_SHARE = 0.7  # of the texts that come in parts
_LONG_TEXT = f"|{'blah ' * 27000}"  # 135 KB, more than one frame may bring
_PAUSES_S = (0.0, 0.0, 0.05, 0.3, 1.0, 2.5)
_TEXTS = ("say 2", "say 5;think 1;say 3", "think 1;tool 0.4;say 4", "tool 1;say 2;tool 0.2;say 1", "say 12")
_RARE_TEXTS = ("say 2;pause 17;say 2", "pause 32;say 1", "long 9;say 1", "long 30", "say 3;raise 0", "raise 0")
_WEIGHTS: dict[Action, float] = {
    "subscribe": 12,
    "cut": 3,
    "leave": 1,
    "connect": 3,
    "stop": 2,
    "unsubscribe": 1,
    "kill": 2,
    "sign_out": 1,
    "read": 1,
    "delete": 1.5,
}


def making(random: Random, story: Story) -> Making:
    """Limits and numbers of a deployment: the real ones, or so small that they matter."""
    aging = any(step.pause_s >= _AGE_S for step in story.steps)  # short tokens would take most of the time there
    given = {
        "replay_max_events": random.choice((300, 300, 300, 7)),
        "tail_max_events": random.choice((200, 200, 200, 6)),
        "max_connections": random.choice((10, 10, 10, 2)),
        "sweep_page": random.choice((100, 3)),
        "command_burst": random.choice((100, 100, 100, 25)),
        "commands_per_s": random.choice((20, 20, 20, 5)),
    }
    token_life_s = random.choice((900, 900, 900, 900, 40, 90)) if not aging else 900
    workers = random.choice((1, 2, 4))
    given |= {
        "runs_at_once": random.choice((3, 3, 1)),
        "max_waiting_runs": random.choice((20, 20, 2)),
        "connects_per_min": random.choice((30, 30, 4)),
    }
    return Making(Limits(**given), workers=workers, token_life_s=token_life_s)


def story(random: Random) -> Story:
    """1 or 2 users with 1 to 3 devices each and 1 or 2 threads each; a dozen steps or so."""
    poison, deleting, aging = random.random() < 0.04, random.random() < 0.3, random.random() < 0.02
    devices: dict[str, str] = {}
    for user in ("ada", "bob")[: random.choice((1, 1, 2))]:
        devices |= {f"{user}{number}": user for number in range(1, random.choice((1, 2, 2, 3)) + 1)}
    teller = _Teller(random, devices)
    steps = [Step(do="connect", device=device) for device in devices]
    for number in range(random.randint(1, 4)):
        steps += teller.message(poison=poison and number == 0)
        steps += [step for _ in range(random.randint(0, 3)) if (step := teller.anything(deleting=deleting))]
    pause_s = random.uniform(_AGE_S, 7500) if aging else 0.0
    steps += [Step(do="connect", device=device, pause_s=pause_s) for device in devices]
    return Story(name="generated", devices=devices, steps=tuple(steps))


def following(random: Random) -> Story:
    """One device writes; another follows, and asks again and again while the answer is being given."""
    asks = [
        Step(do="subscribe", device="desk", thread="t1", pause_s=random.uniform(0.8, 1.4))  # a gap heals in 0.5 s
        for _ in range(random.randint(2, 4))
    ]
    text = SCRIPT + random.choice(("say 40;think 1;say 20", "say 20;tool 0.3;say 40", "say 80"))
    send = Step(do="send", device="phone", thread="t1", message="m1", text=text)
    connects = [Step(do="connect", device=device) for device in ("phone", "desk")]
    stop = Step(do="stop", device="desk", message="m1", pause_s=random.uniform(0.0, 1.0))
    stops = [stop] if random.random() < _STOPPED_SHARE else []
    return Story(name="following", devices={"phone": "ada", "desk": "ada"}, steps=(*connects, send, *asks, *stops))


class _Teller:
    def __init__(self, random: Random, devices: dict[str, str]) -> None:
        self._random = random
        self._devices = devices
        self._messages: list[tuple[str, Step]] = []  # user, its first sending
        self._threads: list[tuple[str, str]] = []

    def message(self, *, poison: bool) -> list[Step]:
        """Somebody says something, in a thread of theirs or a new one; now and then from two devices."""
        device = self._device()
        user = self._devices[device]
        mine = [thread for owner, thread in self._threads if owner == user]
        if mine and self._random.random() < 0.75:
            thread = self._random.choice(mine)
        else:
            thread = f"t{len(self._threads) + 1}"
            self._threads.append((user, thread))
        text = "say 1;die 0" if poison else self._text()
        text += _LONG_TEXT if self._random.random() < 0.03 else ""
        step = Step(
            do="send",
            device=device,
            thread=thread,
            message=f"m{len(self._messages) + 1}",
            text=SCRIPT + text,
            pause_s=self._pause(),
        )
        self._messages.append((user, step))
        asks = []
        if _LONG_TEXT in text and self._random.random() < _READ_SHARE:
            asks = [replace(step, do="read", device=self._device_of(user), pause_s=self._random.uniform(1, 6))]
        twins = [other for other in self._devices if self._devices[other] == user and other != device]
        if twins and self._random.random() < 0.15:
            twin = self._random.choice(twins)
            return [step, replace(step, device=twin, pause_s=0.0), *asks]
        return [step, *asks]

    def anything(self, *, deleting: bool) -> Step | None:
        weights = _WEIGHTS if deleting else {**_WEIGHTS, "delete": 0.0}
        action = self._random.choices(list(weights), list(weights.values()))[0]
        device = self._device()
        user = self._devices[device]
        threads = [thread for owner, thread in self._threads if owner == user]
        messages = [step for owner, step in self._messages if owner == user]
        pause_s = self._pause()
        if action in ("subscribe", "unsubscribe", "delete"):
            others = [thread for owner, thread in self._threads if owner != user]
            if action == "subscribe" and others and self._random.random() < _FOREIGN_SHARE:
                threads = others
            if not threads:
                return None
            return Step(do=action, device=device, thread=self._random.choice(threads), pause_s=pause_s)
        if action == "read":
            if not messages:
                return None
            long = [message for message in messages if _LONG_TEXT in message.text]
            asked = self._random.choice(long or messages)
            return replace(asked, do=action, device=device, pause_s=pause_s)
        if action == "stop":
            early = f"m{len(self._messages) + 1}" if self._random.random() < 0.15 else None
            message = early or (self._random.choice(messages).message if messages else None)
            return Step(do=action, device=device, message=message, pause_s=pause_s) if message else None
        if action == "kill":
            if not messages:
                return None
            return Step(do=action, device=device, message=self._random.choice(messages).message, pause_s=pause_s)
        return Step(do=action, device=device, pause_s=pause_s)

    def _device(self) -> str:
        return self._random.choice(list(self._devices))

    def _device_of(self, user: str) -> str:
        return self._random.choice([device for device, owner in self._devices.items() if owner == user])

    def _pause(self) -> float:
        return self._random.choice(_PAUSES_S) * self._random.uniform(0.5, 1.5)

    def _text(self) -> str:
        return self._random.choice(_RARE_TEXTS if self._random.random() < 0.2 else _TEXTS)
