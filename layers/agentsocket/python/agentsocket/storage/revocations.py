"""Which of a user's tokens are dead (delivery.md, Control). Two rows tell of a token: all of the user's, its session's.

Whoever admits a token writes the connection's row first and reads the revocations then; whoever revokes writes the
revocation first and reads the connections then: one of the two sees the other.
"""

from __future__ import annotations

from boto3.dynamodb.conditions import Attr

from agentsocket.errors import ConditionFailed, TokenRejected
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.storage import keys
from agentsocket.storage.rows import RevokedTokens
from agentsocket.storage.table import ABSENT, Table, put


class Revocations:
    """One user's revocations, as seen by a principal of theirs."""

    def __init__(self, table: Table, principal: Principal, *, limits: Limits) -> None:
        self._table = table
        self._principal = principal
        self._user_id = principal.user
        self._limits = limits

    def revoke(self, *, session: str, not_before: int) -> None:
        """Tokens issued up to `not_before` (seconds) are dead: those of a session, or with none named, all."""
        lifetime = self._limits.max_token_lifetime_s + self._limits.revocation_slack_s
        row = {
            **keys.revoked(self._user_id, session),
            "not_before": not_before,
            "expires_at": int(self._table.now()) + lifetime,
        }
        try:
            self._table.write(put(row, when=ABSENT | Attr("not_before").lte(not_before)))
        except ConditionFailed:
            return  # a later revocation is there, which covers this one

    def require_token(self) -> None:
        """Raises TokenRejected when the principal's own token was revoked: one read."""
        principal = self._principal
        if self.of_session(principal.session).covers(principal.session, principal.issued_at):
            raise TokenRejected("the token has been revoked")

    def of_session(self, session: str) -> RevokedTokens:
        """What is revoked of a session's tokens, or with none named of those without: one read."""
        return RevokedTokens.of(self._table.get_many(*self.rows_of(session)))

    def rows_of(self, session: str) -> list[keys.Key]:
        """The rows that `of_session` reads, for a caller who reads others with them."""
        return [keys.revoked(self._user_id), *([keys.revoked(self._user_id, session)] if session else [])]
