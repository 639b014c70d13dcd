"""Who may connect: tokens, signing keys, the upgrade request, and questions to the auth service."""
