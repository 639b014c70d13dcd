"""The one exception of the laptop stack that a person sees."""


class Unable(Exception):
    """What was asked for cannot be done; the text is one sentence that says what to do about it."""
