"""authservice: the independent auth service. It shares no code, no table and no queue's content with the rest but a
token's form and one message (security.md; delivery.md, Revoke).

Start reading at `service.py`, every endpoint on one page; the rules of refresh tokens are in `refresh_families.py`.
"""
