"""One run in a worker: attempts, events, publishing, and what goes on beside the agent."""
