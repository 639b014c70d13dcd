"""Where Lambda meets the code: decorators that turn events into inputs, and responses."""
