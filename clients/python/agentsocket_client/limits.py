"""Every number of the client, with its unit in its name and its reason beside it (protocol.md, Limits and Resume)."""

from __future__ import annotations

from dataclasses import dataclass

KB = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The defaults are the protocol's; tests shorten the times."""

    # API Gateway closes with 1009 beyond these.
    frame_bytes: int = 32 * KB
    message_bytes: int = 128 * KB

    # A message that goes in parts.
    content_bytes: int = 1024 * KB
    part_bytes: int = 32 * KB
    parts: int = 40
    part_sends: int = 3  # so many times its parts, at most: what is lost on the way is asked for again
    tries: int = 10  # of a part or a page that is refused for a moment

    resume_threads: int = 10  # threads that one hello may resume; the others follow by subscribe

    backoff_base_s: float = 0.25
    backoff_cap_s: float = 30.0

    open_s: float = 10.0  # a handshake that takes longer is a lost one
    close_s: float = 2.0  # how long a clean close waits for the server's half
    reply_s: float = 10.0  # then a command is sent again with the same id, and a stuck replay is asked for again
    quota_s: float = 60.0  # what is refused for longer (a day's runs are used up) is told, not waited for
    token_lead_s: float = 30.0  # so long before its end a token is refreshed; token_expiring, 60 s before, was lost
    token_grace_s: float = 25.0  # so long after its end the server still takes a refresh
    gap_s: float = 0.5  # pushes of two functions may overtake each other by about this much
    silence_s: float = 45.0  # three heartbeats
    ping_s: float = 240.0  # if the welcome names no interval; API Gateway ends a connection after 10 idle minutes
