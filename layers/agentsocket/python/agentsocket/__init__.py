"""agentsocket: real-time AI-agent chat behind an API Gateway WebSocket. Start reading at `relay.py`."""
