"""The release of this library: its wheel and every `hello` take it from here."""

__version__ = "0.1.0"
