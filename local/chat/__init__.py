"""The terminal chat: a person's at a terminal, a program's in a pipe."""
