"""The fake server of the client's tests, for those of the chat."""

from tests.client.conftest import server

__all__ = ["server"]
