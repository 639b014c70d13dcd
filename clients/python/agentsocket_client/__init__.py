"""An asyncio client for agentsocket: connects, stays connected, and hands out every event exactly once, in order.

    async with Client(url, token) as client:
        accepted = await client.send_message("Where do we spend too much?")
        async for frame in client.frames():
            ...

`connection` and `transport` do the I/O; everything else is pure and takes the time as an argument (`session` is its
door).
"""

import logging

from agentsocket_client.client import Client
from agentsocket_client.connection import Status
from agentsocket_client.errors import (
    AgentSocketError,
    ClientClosed,
    CommandFailed,
    Damaged,
    Disconnected,
    Refused,
    WrongProtocol,
)
from agentsocket_client.frames import Frame, Position, ResumePoint
from agentsocket_client.limits import Limits
from agentsocket_client.runs import Runs
from agentsocket_client.version import __version__

logging.getLogger(__name__).addHandler(logging.NullHandler())  # who wants to read it says so; no terminal is written on

__all__ = [
    "Client",
    "Status",
    "Limits",
    "Runs",
    "Frame",
    "Position",
    "ResumePoint",
    "AgentSocketError",
    "Refused",
    "Disconnected",
    "WrongProtocol",
    "CommandFailed",
    "Damaged",
    "ClientClosed",
    "__version__",
]
