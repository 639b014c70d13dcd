import pytest

from local.gateway.routes import Api, Route, selector


def api(*keys: str, path: tuple[str, ...] = ("action",)) -> Api:
    routes = {key: Route(key, f"arn:{key}", 29, two_way=False) for key in keys}
    return Api("a1b2c3", "live", "eu-west-1", path, routes, {})


def chosen(api: Api, message: str) -> str | None:
    route = api.route_for(message)
    return route.key if route else None


@pytest.mark.parametrize(
    ("expression", "path"),
    [
        ("$request.body.action", ("action",)),
        ("${request.body.action}", ("action",)),
        ("$request.body.detail-type", ("detail-type",)),
        ("$request.body.message.kind", ("message", "kind")),
    ],
)
def test_the_forms_of_a_selection_expression(expression: str, path: tuple[str, ...]):
    assert selector(expression) == path


@pytest.mark.parametrize("expression", ["action", "$request.header.action", "${request.body.a}-b", "$request.body."])
def test_other_expressions_are_not_understood(expression: str):
    assert selector(expression) is None


def test_a_nested_path_is_followed():
    nested = api("join", path=("message", "kind"))
    assert chosen(nested, '{"message": {"kind": "join"}}') == "join"
    assert chosen(nested, '{"message": "join"}') is None


@pytest.mark.parametrize(("value", "key"), [("7", "7"), ("1.5", "1.5"), ("true", "true"), ('"é"', "é")])
def test_a_plain_value_is_compared_as_text(value: str, key: str):
    assert chosen(api(key), f'{{"action": {value}}}') == key


@pytest.mark.parametrize(
    "message",
    ["", "{", "null", '"action"', '{"action": null}', '{"action": ["x"]}', '{"action": NaN}', "[" * 100_000],
)
def test_what_cannot_be_evaluated_is_default(message: str):
    assert chosen(api("$default", "null", "NaN", "x"), message) == "$default"


def test_keys_are_compared_exactly():
    assert chosen(api("Greet", "$default"), '{"action": "greet"}') == "$default"


def test_without_a_default_there_may_be_no_route():
    assert chosen(api("greet"), '{"action": "other"}') is None
