"""The auth service's own fixtures: its tokens are what the other package is shown here."""

from tests.authservice.conftest import auth, aws, environment, issuer, kms, shared_issuer

__all__ = ["auth", "aws", "environment", "issuer", "kms", "shared_issuer"]
