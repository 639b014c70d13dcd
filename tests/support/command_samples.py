"""A frame of every command, as a client may send it: the least that it needs, and all that it can say."""

from __future__ import annotations

from typing import Any

Frame = dict[str, Any]
POSITION = {"epoch": "1.e", "seq": 3}
PAYLOADS: dict[str, tuple[Frame, Frame]] = {
    "hello": (
        {"protocol": 1},
        {
            "protocol": 1,
            "client": {"name": "n", "version": "1"},
            "resume": [{"thread_id": "t1", "epoch": "1.e", "seq": 0}],
        },
    ),
    "user_message": (
        {"content": "hi", "message_id": "m1"},
        {
            "content": "hi",
            "message_id": "m2",
            "thread_id": "t1",
            "agent": "usage_analyst",
            "context": {"page": {"open": [1, 2.5, None, True]}},
            "part": 1,
            "parts": 2,
        },
    ),
    "stop_agent": ({"run_id": "r1"}, {"message_id": "m1"}),
    "subscribe": ({"thread_id": "t1"}, {"thread_id": "t1", "since": POSITION}),
    "unsubscribe": ({"thread_id": "t1"}, {"thread_id": "t1"}),
    "switch_thread": ({"thread_id": "t1"}, {"thread_id": "t1", "since": POSITION}),
    "create_thread": ({}, {"title": "Trips", "metadata": {"colour": "red", "tags": [1]}}),
    "rename_thread": ({"thread_id": "t1", "title": ""}, {"thread_id": "t1", "title": "Trips"}),
    "delete_thread": ({"thread_id": "t1"}, {"thread_id": "t1"}),
    "list_threads": ({}, {"limit": 100, "cursor": "1800000000000.t1"}),
    "get_thread_history": ({"thread_id": "t1"}, {"thread_id": "t1", "limit": 1, "cursor": "1.e"}),
    "get_content": ({"thread_id": "t1", "message_id": "m1"}, {"thread_id": "t1", "message_id": "r.1", "offset": 5}),
    "get_context": ({"name": "user.likes"}, {"name": "user.likes"}),
    "update_context": (
        {"name": "user.likes", "patch": {"tea": True}},
        {"name": "user.likes", "patch": {"tea": None, "cups": {"big": [1]}}, "version": 0},
    ),
    "refresh_token": ({"token": "newer"}, {"token": "newer"}),
    "get_health": ({}, {}),
    "ping": ({}, {}),
}
FRAMES: list[Frame] = [
    {"type": kind, "payload": payload, "id": "c1"} for kind, payloads in PAYLOADS.items() for payload in payloads
]
