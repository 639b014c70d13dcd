"""The rows of families, users and tokens: reads that decide, and writes that hold only if what was read still does.

    FAMILY#<sid>      who signed in and when, the scopes, the client; revoked_at once it is dead; notified
    REFRESH#<sha256>  a refresh token: its family, the token it was given for, used_ms, successor_used
    IDTOKEN#<sha256>  an ID token that was exchanged
    USER#<sha256>     of issuer and sub: tokens issued up to `not_before` are dead, `last_iat` is the latest ever issued
    TOKEN#<jti>       a revoked token of a service

Keys hold hashes and our own random ids, so whatever a stranger sends makes no key of another kind.
"""

from __future__ import annotations

import hashlib
import random
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from boto3.dynamodb.conditions import Attr

from authservice.errors import ConditionFailed, TransactionCancelled, Unavailable
from authservice.limits import Limits
from authservice.refresh_families import Family, RefreshToken, User, is_revoked
from authservice.table import ABSENT, PRESENT, Item, Operation, Table, put, update
from authservice.tokens import Token

T = TypeVar("T")


class Storage:
    """The rows of families, users and tokens. `issuer` is ours: with the sub it makes a user."""

    def __init__(
        self, table: Table, *, issuer: str, limits: Limits, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = table
        self._issuer = issuer
        self._limits = limits
        self._sleep = sleep

    def retry_conflicts(self, step: Callable[[], T]) -> T:
        """Read, decide and write again for as long as somebody else's write comes between. Raises Unavailable."""
        for attempt in range(self._limits.write_attempts):
            try:
                return step()
            except TransactionCancelled:
                self._sleep(random.uniform(0, self._limits.write_backoff_ms * 2**attempt) / 1000)  # noqa: S311 (jitter)
        raise Unavailable("concurrent requests for one sign-in; send the request again")

    # Reading.

    def user(self, subject: str, *also: str) -> tuple[User, list[Item | None]]:
        """A user, and other rows in the same read."""
        key = user_key(self._issuer, subject)
        row, *others = self._table.get(key, *also)
        known = row or {}
        return User(key, *(known.get(name, 0) for name in ("not_before", "notified", "last_iat"))), others

    def refresh_token(self, token: str) -> RefreshToken | None:
        """A refresh token that was issued and has not expired, or None."""
        [row] = self._table.get(refresh_key(token))
        family = self.family(row["sid"]) if row else None
        if row is None or family is None:
            return None
        user, _ = self.user(family.subject)
        return RefreshToken(row["PK"], row["parent"], row.get("used_ms", 0), "successor_used" in row, family, user)

    def family(self, sid: str) -> Family | None:
        """A family, revoked or not; None when there is none any more."""
        [row] = self._table.get(_family_key(sid))
        return _family(row) if row else None

    def token_status(self, token: Token) -> tuple[bool, User]:
        """Whether a checked token is in force, and whose it is: one read."""
        of_token, of_family = _token_key(token.token_id), _family_key(token.session)
        user, (revoked, row) = self.user(token.subject, of_token, of_family)
        if token.of_service:
            return revoked is None, user
        family = _family(row) if row else None
        return not is_revoked(family, user), user

    def exchange_status(self, subject: str, digest: str) -> tuple[bool, User]:
        """Whether an ID token was exchanged before, and its user."""
        user, [row] = self.user(subject, _id_token_key(digest))
        return row is not None, user

    # Issuing: each is one transaction. Raises TransactionCancelled when what was read does not hold any more.

    def start_family(self, family: Family, user: User, secret: str, *, id_token: str) -> None:
        """A new family with its first refresh token, for an ID token of that digest, which is used up by this."""
        expires = self._expiry(family)
        lifetime = self._limits.id_token_age_s + self._limits.row_slack_s
        used = {"PK": _id_token_key(id_token), "expires_at": int(self._table.now()) + lifetime}
        row = {
            "PK": _family_key(family.sid),
            "sid": family.sid,
            "sub": family.subject,
            "client_id": family.client_id,
            "scope": " ".join(sorted(family.scopes)),
            "started": family.started,
            "expires_at": expires + self._limits.row_slack_s,
        }
        self._table.transact(
            put(used, when=ABSENT),
            put(row, when=ABSENT),
            self._record_issue(user, family, family.started),
            self._new_refresh_token(family, secret, parent="", expires=expires),
        )

    def rotate(self, used: RefreshToken, secret: str, *, issued_at: int) -> None:
        """A successor for a refresh token that is used for the first time, or a sibling of the one it has."""
        expires = self._expiry(used.family)
        writes = [
            self._mark_used(used, expires),
            self._extend_family(used.family, expires),
            self._record_issue(used.user, used.family, issued_at),
            self._new_refresh_token(used.family, secret, parent=used.key, expires=expires),
        ]
        if used.parent:
            writes.append(update(used.parent, {"successor_used": True}, when=PRESENT))
        self._table.transact(*writes)

    def _mark_used(self, used: RefreshToken, expires: int) -> Operation:
        """The row lasts for as long as the successor, so that its return is known as theft till then."""
        if used.used_ms:
            return update(used.key, {"expires_at": expires}, when=PRESENT & Attr("successor_used").not_exists())
        changes = {"expires_at": expires, "used_ms": int(self._table.now() * 1000)}
        return update(used.key, changes, when=PRESENT & Attr("used_ms").not_exists())

    def _expiry(self, family: Family) -> int:
        end = family.started + self._limits.family_s
        return min(int(self._table.now()) + self._limits.refresh_token_s, end)

    def _extend_family(self, family: Family, expires: int) -> Operation:
        alive = PRESENT & Attr("revoked_at").not_exists()
        return update(_family_key(family.sid), {"expires_at": expires + self._limits.row_slack_s}, when=alive)

    def _record_issue(self, user: User, family: Family, issued_at: int) -> Operation:
        """No logout came between, and none that comes may overlook this `iat`."""
        last = max(user.last_iat, issued_at)
        not_revoked = Attr("not_before").not_exists() | Attr("not_before").lt(family.started)
        latest = Attr("last_iat").not_exists() | Attr("last_iat").lte(last)
        return update(user.key, {"last_iat": last, "expires_at": self._user_expiry()}, when=not_revoked & latest)

    def _new_refresh_token(self, family: Family, secret: str, *, parent: str, expires: int) -> Operation:
        row = {"PK": refresh_key(secret), "sid": family.sid, "parent": parent, "expires_at": expires}
        return put(row, when=ABSENT)

    def _user_expiry(self) -> int:
        """A logout is remembered for longer than any family goes on that began before it."""
        return int(self._table.now()) + self._limits.family_s + self._limits.row_slack_s

    # Revoking: each may be repeated, and returns what the control queue must be notified of.

    def revoke(self, family: Family) -> int:
        """End a family; the `not_before` of its tokens.

        Nothing of this family is ever issued again, so a margin for the clocks of others costs nothing.
        """
        now = int(self._table.now())
        row = self._write(update(_family_key(family.sid), {}, defaults={"revoked_at": now}, when=PRESENT))
        return int(row.get("revoked_at", now)) + self._limits.token_leeway_s

    def log_out(self, subject: str) -> User:
        """End everything of a user that was issued up to now. Raises TransactionCancelled when it must be repeated."""
        user, _ = self.user(subject)
        not_before = max(int(self._table.now()), user.last_iat, user.not_before)
        none_later = Attr("last_iat").not_exists() | Attr("last_iat").lte(not_before)
        changes = {"not_before": not_before, "expires_at": self._user_expiry()}
        try:
            self._table.write(update(user.key, changes, when=none_later))
        except ConditionFailed:
            raise TransactionCancelled("a token was issued meanwhile") from None
        return User(user.key, not_before, user.notified, user.last_iat)

    def revoke_service_token(self, token: Token) -> None:
        """Revoke a service's token by itself."""
        expires = token.expires_at + self._limits.row_slack_s
        self._write(update(_token_key(token.token_id), {"expires_at": expires}))

    def mark_family_notified(self, family: Family) -> None:
        """The control queue was notified of the end of the family."""
        self._write(update(_family_key(family.sid), {"notified": True}, when=PRESENT))

    def mark_user_notified(self, user: User) -> None:
        """The control queue was notified of the logout of the user."""
        self._write(update(user.key, {"notified": user.not_before}))

    def _write(self, operation: Operation) -> Item:
        """A write that may meet a transaction of the same row, and may be repeated; empty when the row has gone."""
        try:
            return self.retry_conflicts(lambda: self._table.write(operation, returning="ALL_NEW"))
        except ConditionFailed:
            return {}


def _family(row: Item) -> Family:
    return Family(
        sid=row["sid"],
        subject=row["sub"],
        client_id=row["client_id"],
        scopes=frozenset(row["scope"].split()),
        started=row["started"],
        revoked="revoked_at" in row,
        notified="notified" in row,
    )


def user_key(issuer: str, subject: str) -> str:
    """A user's row; the hash makes any `sub` safe in a key."""
    return "USER#" + hashlib.sha256(issuer.encode() + b"\x00" + subject.encode()).hexdigest()


def refresh_key(token: str) -> str:
    """A refresh token's row, which holds no more of it than this."""
    return "REFRESH#" + hashlib.sha256(token.encode()).hexdigest()


def new_secret() -> str:
    """256 random bits: a refresh token."""
    return secrets.token_urlsafe(32)


def _family_key(sid: str) -> str:
    return f"FAMILY#{sid}"


def _id_token_key(digest: str) -> str:
    return f"IDTOKEN#{digest}"


def _token_key(token_id: str) -> str:
    return f"TOKEN#{token_id}"
