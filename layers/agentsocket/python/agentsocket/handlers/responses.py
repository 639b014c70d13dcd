"""A command's answers on their way back: one rides the route response, several are posted in order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from agentsocket import ids
from agentsocket.errors import CommandError, Disconnect, Internal, Unavailable
from agentsocket.inputs import SocketRequest
from agentsocket.protocol import frames
from agentsocket.protocol.frames import Reply

if TYPE_CHECKING:
    from agentsocket.aws.management_api import ManagementApi
    from agentsocket.storage.table import Clock

_logger = logging.getLogger("agentsocket.handlers.responses")

Step = Callable[[SocketRequest], Iterable[Reply]]


def respond(step: Step, request: SocketRequest, management_api: ManagementApi, *, now: Clock) -> bytes | None:
    """Carry out a command. Returns the frame for the route response, or None when frames were posted instead.

    Nothing is promised about the order of posts and a route response, so it is never both, but for an error at the end.
    """
    try:
        return _deliver((_encode(reply, request, now) for reply in step(request)), request, management_api)
    except CommandError as error:
        if isinstance(error, Unavailable):
            _logger.warning("dependency_unavailable", extra={"reason": str(error)})
        return _encode(Reply(frames.failure(error)), request, now)
    except Disconnect as ending:
        management_api.post(request.connection_id, _encode(Reply(frames.farewell(ending)), request, now))
        management_api.close(request.connection_id)
        return None


def internal(request: SocketRequest, *, now: Clock) -> bytes:
    """What a client hears of a fault of ours."""
    return _encode(Reply(frames.failure(Internal())), request, now)


def _deliver(encoded: Iterator[bytes], request: SocketRequest, management_api: ManagementApi) -> bytes | None:
    first, second = next(encoded, None), next(encoded, None)
    if first is None or second is None:
        return first
    # Lazily: what a step does after its last frame happens after that frame was posted.
    for frame in chain((first, second), encoded):
        delivery = management_api.post(request.connection_id, frame)
        if delivery == "throttled":
            raise Unavailable("reply could not be delivered whole; send the command again")
        if delivery == "gone":
            return None
    return None


def _encode(reply: Reply, request: SocketRequest, now: Clock) -> bytes:
    moment = now()
    return frames.frame(
        reply.payload,
        frame_id=ids.new(moment),
        now=moment,
        reply_to=frames.command_id(request.body),
        thread_id=reply.thread_id,
    ).encode()
