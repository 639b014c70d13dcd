"""agentsocket: real-time AI-agent chat behind an API Gateway WebSocket. Start reading at `relay.py`."""

__version__ = "0.1.0"  # the one place: pyproject.toml, `welcome` and `/health` take it from here
