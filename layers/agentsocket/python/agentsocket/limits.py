"""Every number of the system, with its unit in its name and its reason beside it.

The template's `Limits` parameter (a JSON object) overrides any of them by name; tests make tokens live for seconds so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct

from agentsocket.errors import SettingsError
from lambdakit.limits import overrides

KB = 1024
MINUTE_S = 60
DAY_S = 24 * 60 * MINUTE_S


class Limits(Struct, frozen=True):
    """All limits; the defaults are what a deployment gets that says nothing."""

    # API Gateway WebSocket quotas (AWS, "Quotas for WebSocket APIs"): not ours to raise.
    max_message_bytes: int = 128 * KB

    # Ours, on the wire.
    max_outbound_frame_bytes: int = 30 * KB  # below API Gateway's 32 KB frame, so that a post is one frame
    max_nesting: int = 16  # deeper JSON is an attack or a mistake
    ping_interval_s: int = 4 * MINUTE_S  # under half of API Gateway's 10 idle minutes
    max_context_bytes: int = 8 * KB
    max_subscriptions: int = 50  # per connection: they live in its row
    max_metadata_bytes: int = 2 * KB  # a thread's: lists carry it
    max_connections: int = 10  # per user; another's hello ends the oldest idle one
    max_resume_threads: int = 10
    log_max_events: int = 10_000  # what lies further back is not replayed, though its rows live a day
    replay_max_events: int = 300
    replay_max_bytes: int = 1024 * KB  # also DynamoDB's page: a replay is one Query
    snapshot_max_messages: int = 50
    preview_bytes: int = 2 * KB  # tool arguments and results, and the start of long content
    inline_content_bytes: int = 24 * KB  # longer text travels as bytes + sha256 + preview
    plain_event_bytes: int = KB  # a longer row of the log is kept compressed: DynamoDB charges each KB
    content_chunk_bytes: int = 300 * KB  # a CONTENT# item; DynamoDB allows 400 KB

    # Messages in parts (delivery.md, Parts).
    max_content_bytes: int = 1024 * KB  # of a message, joined
    max_part_bytes: int = 32 * KB  # 40 of them are more than a message may have
    max_uploads: int = 4  # open at once, per user

    # Tokens.
    max_token_bytes: int = 4 * KB
    max_subject_bytes: int = 255  # OpenID Connect Core 1.0, section 2: sub must not exceed 255 characters
    token_leeway_s: int = 30  # clocks of two services
    token_grace_s: int = 25  # an open socket outlives its token by this, to refresh in band
    max_token_lifetime_s: int = DAY_S  # a revocation is remembered for as long: no token may outlive it
    degraded_s: int = 5 * MINUTE_S  # a connection admitted without a look at the auth service must refresh by then
    jwks_max_bytes: int = 64 * KB
    jwks_max_keys: int = 20
    jwks_timeout_s: int = 2
    jwks_lifetime_s: int = 5 * MINUTE_S
    jwks_cooldown_s: int = MINUTE_S  # an unknown kid causes at most one fetch in this time

    # Introspection (RFC 7662) and its circuit breaker, inside the authorizer's own time.
    introspection_timeout_ms: int = 1000
    introspection_attempts: int = 2
    introspection_backoff_ms: int = 200  # the first wait at most, doubled each time
    breaker_failures: int = 3
    breaker_open_ms: int = 5000

    # What is due on a quiet socket (delivery.md, Control).
    handshake_s: int = MINUTE_S  # a socket that has not said hello by then is closed
    expiring_notice_s: int = MINUTE_S
    connection_age_s: int = 115 * MINUTE_S  # API Gateway closes at 120
    check_every_s: int = 15 * MINUTE_S  # SQS delays a message by at most that
    recheck_s: int = 2  # a socket that cannot be reached because its $connect has not returned

    # Quotas (security.md, Cost is an attack surface).
    commands_per_s: int = 20  # per user
    command_burst: int = 100  # five seconds' worth at once: ten devices may come back together
    replay_cost: int = 10  # what a hello or subscribe that replays counts for
    connects_per_min: int = 30  # per user, and as many at once: ten devices, thrice
    max_waiting_runs: int = 20  # per user: accepted, and no worker at them yet
    runs_at_once: int = 3  # per user
    runs_per_day: int = 200  # per user; a day ends at midnight, UTC
    run_retry_s: int = 10  # how soon a run that has to wait for others is looked at again
    waiting_s: int = 180 * MINUTE_S  # the queue gives up on a record that came back a thousand times
    run_output_tokens: int = 32_000  # that an attempt's models may write, as far as its agent reports it
    month_budget_cents: int = 2_000  # per user and calendar month, as far as agents report what they pay

    # Lists.
    max_page: int = 100  # over the socket also what one frame holds

    # Remembered contexts (delivery.md, Contexts).
    max_remembered: int = 50  # of a user, and as many of a thread
    max_remembered_bytes: int = 24 * KB  # of one: it travels in a frame
    context_cache_s: int = MINUTE_S  # how long Redis may keep what DynamoDB decides
    redis_connect_timeout_ms: int = 500  # it is in the same network, or away
    redis_timeout_ms: int = 500  # it answers in a millisecond, or not in time

    # One role per user (security.md, IAM mode).
    tenant_credentials_s: int = 60 * MINUTE_S  # a role that is assumed by a role: AWS allows an hour
    tenant_renew_s: int = 20 * MINUTE_S  # what they must be good for still: longer than a function runs
    tenants_cached: int = 100

    # Rows (data-model.md, Rows).
    revocation_slack_s: int = 5 * MINUTE_S  # beyond the longest token's life
    ticket_row_s: int = 2 * MINUTE_S  # longer than a ticket lives
    upload_row_s: int = 10 * MINUTE_S  # then what has come of a message is forgotten
    connection_row_s: int = 130 * MINUTE_S
    run_row_s: int = 30 * DAY_S  # longer than queue and dead-letter queue keep a record
    stop_row_s: int = 180 * MINUTE_S  # as long as a run may wait
    early_stop_row_s: int = 2 * MINUTE_S  # a stop whose message has not come: it is a step behind, or never comes
    deleted_flag_s: int = 5 * MINUTE_S  # every worker's next look is over by then; each look reads them all
    deleted_row_s: int = 60 * MINUTE_S  # Redis knows as long that a thread is gone: longer than a run may last
    tombstone_s: int = 30 * DAY_S  # as long as a message's retry may come
    run_pointer_s: int = 60 * MINUTE_S
    event_row_s: int = DAY_S
    quota_row_s: int = 40 * DAY_S  # from the last command on: longer than a month's money counts

    # Runs (delivery.md, Lease and attempts).
    lease_s: int = 20
    visibility_s: int = 30  # longer than the lease, so that a record returns to a free lease
    renew_every_s: int = 8
    look_every_ms: int = 500  # how soon a new subscription is seen by a running worker
    max_attempts: int = 3
    run_deadline_s: int = 13 * MINUTE_S  # leaves two of Lambda's 15 minutes for the ending
    sweep_page: int = 100  # rows that a deletion removes at once
    slots_tried: int = 5  # a stale worker that wakes fills one slot of the log and no more
    history_messages: int = 20  # what an agent is told of what was said before
    max_answer_bytes: int = 1024 * KB
    report_bytes: int = 4 * KB  # recommendations and plan: with inline_content_bytes of text they stay below a frame

    # Publishing (architecture.md, Coalescing).
    flush_fast_ms: int = 100
    flush_slow_ms: int = 250
    flush_fast_for_ms: int = 1000
    post_backoff_ms: int = 100  # the first wait at most after a 429 or 5xx, doubled each time
    post_backoff_cap_ms: int = 2000
    posts_at_once: int = 10  # a user's connections
    drain_s: int = 5  # how long an ending waits for slow connections
    tail_max_events: int = 200  # a connection that is further behind is ended: a replay serves it better
    heartbeat_s: int = 15  # silence of a running run; clients ask after three

    # What no deployment may raise further: beyond it the number would undo what it is there for.
    AT_MOST: ClassVar[Mapping[str, int]] = {
        "token_leeway_s": 5 * MINUTE_S,
        "token_grace_s": 5 * MINUTE_S,
        "max_token_lifetime_s": 7 * DAY_S,
        "degraded_s": 60 * MINUTE_S,
        "jwks_lifetime_s": DAY_S,
        "handshake_s": 15 * MINUTE_S,
        "check_every_s": 15 * MINUTE_S,
        "connection_age_s": 119 * MINUTE_S,
        "tenant_credentials_s": 60 * MINUTE_S,
        "run_deadline_s": 14 * MINUTE_S,  # Lambda ends the worker at 15
        "max_outbound_frame_bytes": 32 * KB,  # API Gateway's frame
        "content_chunk_bytes": 380 * KB,  # DynamoDB's item, with its keys
        "context_cache_s": MINUTE_S,  # tiered contexts are at most so stale after a fault
    }

    # And what none may lower further.
    AT_LEAST: ClassVar[Mapping[str, int]] = {
        "tenant_credentials_s": 15 * MINUTE_S,  # AWS gives none for less
        "tenant_renew_s": 15 * MINUTE_S,  # a worker may run for as long
    }

    # What must be less than what: otherwise the one undoes what the other is there for.
    BELOW: ClassVar[tuple[tuple[str, str], ...]] = (
        ("renew_every_s", "lease_s"),
        ("lease_s", "visibility_s"),
        ("preview_bytes", "inline_content_bytes"),
        ("inline_content_bytes", "max_outbound_frame_bytes"),
        ("max_remembered_bytes", "max_outbound_frame_bytes"),
        ("max_part_bytes", "max_message_bytes"),
        ("expiring_notice_s", "connection_age_s"),
        ("handshake_s", "connection_age_s"),
        ("tenant_renew_s", "tenant_credentials_s"),
        ("connection_age_s", "connection_row_s"),
        ("run_deadline_s", "run_pointer_s"),
    )

    @classmethod
    def from_json(cls, text: str) -> Limits:
        """The defaults with the overrides of `text`, a JSON object of positive integers. Raises SettingsError."""
        defaults = dict(zip(cls.__struct_fields__, cls.__struct_defaults__, strict=True))
        changed = overrides(
            text,
            variable="LIMITS",
            defaults=defaults,
            at_most=cls.AT_MOST,
            at_least=cls.AT_LEAST,
            below=cls.BELOW,
            error=SettingsError,
        )
        return cls(**changed)
