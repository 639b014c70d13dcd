"""The agent interface, the catalog of agents, and the agent that comes with the project."""
