"""Form bodies as OAuth has them (RFC 6749, section 3.2 and appendix B). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from authservice.errors import InvalidRequest
from authservice.inputs import Request
from authservice.limits import Limits

_FORM = "application/x-www-form-urlencoded"

Form = Mapping[str, str]


def parse(request: Request, *, limits: Limits) -> Form:
    """The body's parameters; one without a value counts as left out. Raises InvalidRequest.

    A parameter given twice is refused, whichever it is: two readers would take different ones.
    """
    if not request.body:
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise InvalidRequest(f"Content-Type must be {_FORM}")
    try:
        pairs = parse_qsl(
            request.body.decode("utf-8"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=limits.max_form_fields,
        )
    except ValueError:
        raise InvalidRequest(
            f"the body must be a form in UTF-8 with at most {limits.max_form_fields} parameters"
        ) from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise InvalidRequest("a parameter is given twice; give each once")
    return {name: value for name, value in form.items() if value}


def required(form: Form, name: str) -> str:
    """A parameter that must be there; `name` is ours, so it may be said. Raises InvalidRequest."""
    try:
        return form[name]
    except KeyError:
        raise InvalidRequest(f"{name} is missing") from None
