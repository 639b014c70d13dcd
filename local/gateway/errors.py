"""The one error a caller of the gateway sees. What clients of the gateway are told is in answers.py."""


class GatewayError(Exception):
    """The gateway cannot do what was asked; the message is one sentence that says what to do."""
