"""What people do, as data: who has which devices, and what happens step by step. No I/O, no clock, no agent.

A story is played by the simulation (`playing.py`) and, the named ones, over real sockets too (`tests/integration`);
what the devices saw is judged by `history.py` either way. Steps happen in order: each waits `pause_s` seconds, then for
what it is to come after, and then begins; nobody waits for it to end, but for `connect`. An agent's behaviour follows
from the text of the message alone. The named stories are answered by the usage analyst, which every deployment has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Action = Literal[
    "connect",  # the device opens its client, and resumes what it had read when it left
    "leave",  # it closes the client, knowing how far it has read
    "cut",  # the network fails; the client notices, the server may not
    "send",  # a message; the first one that names a thread makes it. The same message again is the same run
    "stop",  # stop_agent for a message, sent or not
    "subscribe",
    "unsubscribe",
    "read",  # get_content of a message, which is `text`; not before its run has begun
    "delete",  # delete_thread
    "kill",  # the worker that runs the message dies, as by SIGKILL; `device` only says who must have seen what before
    "sign_out",  # every token of the device's user that was made until now is dead
]
Outcome = Literal["success", "stopped", "error", "timeout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happens. `thread` and `message` are the story's own names for what the server will number.

    Before it, the device has seen `seen` events of the thread, the start of the message's attempt `attempt`, and, with
    `ended`, the last event of the message's run.
    """

    do: Action
    device: str
    thread: str = ""
    message: str = ""
    text: str = ""
    pause_s: float = 0.0
    seen: int = 0
    attempt: int = 0
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """`devices` names each device's user. `endings`: how the run of a message must end; not named, it may end anyhow.

    `attempts`: how many the run of a message has at least, as its worker is killed; `connections`: how many a device
    has at least, as it is cut. Both hold where nothing but the story goes wrong.
    """

    name: str
    devices: Mapping[str, str]
    steps: tuple[Step, ...]
    endings: Mapping[str, Outcome] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    connections: Mapping[str, int] = field(default_factory=dict)


# The analyst says a word every 10 ms; 20 models with names of many words make an answer that takes seven seconds.
LONG = "\n".join(
    f"2026-01-05T09:00:00Z,{' '.join(f'{letter}{number:02}' for letter in 'abcdefghijklmno')},1000,200,{number + 1}.00"
    for number in range(20)
)
_PHONE = {"phone": "ada"}
_BOTH = {"phone": "ada", "desk": "ada"}


def _connect(*devices: str) -> tuple[Step, ...]:
    return tuple(Step(do="connect", device=device) for device in devices)


def _send(device: str, message: str, text: str = LONG, thread: str = "t1", pause_s: float = 0.0, seen: int = 0) -> Step:
    return Step(do="send", device=device, thread=thread, message=message, text=text, pause_s=pause_s, seen=seen)


CUT_MID_RUN = Story(
    name="cut_mid_run",
    devices=_PHONE,
    steps=(
        *_connect("phone"),
        _send("phone", "m1"),
        Step(do="cut", device="phone", thread="t1", seen=6),
        Step(do="cut", device="phone", thread="t1", seen=10),
        Step(do="leave", device="phone", thread="t1", seen=14),
        Step(do="connect", device="phone", pause_s=2.0),
    ),
    endings={"m1": "success"},
    connections={"phone": 3},
)
TWO_DEVICES = Story(
    name="two_devices",
    devices=_BOTH,
    steps=(
        *_connect("phone", "desk"),
        _send("phone", "m1"),
        Step(do="subscribe", device="desk", thread="t1", pause_s=1.0),
        _send("desk", "m2", "hello"),
        Step(do="cut", device="desk", thread="t1", seen=5),
    ),
    endings={"m1": "success", "m2": "success"},
    connections={"desk": 2},
)
WORKER_KILLED = Story(
    name="worker_killed",
    devices=_BOTH,
    steps=(
        *_connect("phone", "desk"),
        _send("phone", "m1"),
        Step(do="subscribe", device="desk", thread="t1"),
        Step(do="kill", device="phone", thread="t1", message="m1", attempt=1, seen=8),
        _send("phone", "m2", "hello"),
    ),
    endings={"m1": "success", "m2": "success"},
    attempts={"m1": 2},
)
THREE_KILLS = Story(
    name="three_kills",
    devices=_PHONE,
    steps=(
        *_connect("phone"),
        _send("phone", "m1"),
        *(
            Step(do="kill", device="phone", thread="t1", message="m1", attempt=attempt, pause_s=0.5)
            for attempt in (1, 2, 3)
        ),
        _send("phone", "m2", "hello"),
    ),
    endings={"m1": "error", "m2": "success"},
    attempts={"m1": 4},
)
STOPPED = Story(
    name="stopped",
    devices=_BOTH,
    steps=(
        *_connect("phone", "desk"),
        _send("phone", "m1"),
        Step(do="stop", device="desk", message="m2"),  # before its message
        Step(do="stop", device="desk", message="m1", pause_s=2.0),
        _send("phone", "m2", pause_s=1.0),
        _send("phone", "m3", "hello"),
    ),
    endings={"m1": "stopped", "m2": "stopped", "m3": "success"},
)
DELETED_MID_RUN = Story(
    name="deleted_mid_run",
    devices=_BOTH,
    steps=(
        *_connect("phone", "desk"),
        _send("phone", "m1"),
        Step(do="subscribe", device="desk", thread="t1"),
        _send("phone", "m2", "hello"),  # waits behind the first
        Step(do="delete", device="desk", thread="t1", seen=6),
        _send("phone", "m3", "hello", thread="t2"),
    ),
    endings={"m3": "success"},
)
NAMED: dict[str, Story] = {
    story.name: story for story in (CUT_MID_RUN, TWO_DEVICES, WORKER_KILLED, THREE_KILLS, STOPPED, DELETED_MID_RUN)
}
