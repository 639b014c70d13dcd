"""What a deployment gives to its functions: an environment in which each of them starts."""

from __future__ import annotations

import json

# RFC 7515, appendix A.3: a point of P-256.
KEY = {"kty": "EC", "crv": "P-256", "kid": "k", "alg": "ES256", "use": "sig"} | {
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
GIVEN = {
    "ISSUER": "https://issuer.example",
    "AUDIENCE": "agentsocket",
    "JWKS": json.dumps({"keys": [KEY]}),
    "JWKS_URL": "https://issuer.example/jwks",
    "INTROSPECTION": "all",
    "INTROSPECTION_URL": "https://issuer.example/oauth/introspect",
    "INTROSPECTION_CLIENT": "agentsocket",
    "INTROSPECTION_SECRET": "s" * 48,
    "PRIVILEGED_SCOPES": "admin",
    "SIGNING_KEY": "arn:aws:kms:eu-west-1:123456789012:key/1",
    "IDENTITY_ISSUER": "https://login.example",
    "IDENTITY_CLIENT_ID": "client",
    "IDENTITY_JWKS_URL": "https://login.example/jwks",
    "GROUPS_CLAIM": "groups",
    "SCOPES": "chat",
    "CONTROL_QUEUE_URL": "https://queue.example/control",
    "BUCKET": "keys",
    "TABLE_NAME": "table",
    "QUEUE_URL": "https://queue.example/runs.fifo",
    "DEAD_LETTER_QUEUE_URL": "https://queue.example/dead.fifo",
    "GENERATION": "1",
    "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": "https://api.example/live",
    "AWS_DEFAULT_REGION": "eu-west-1",
}
