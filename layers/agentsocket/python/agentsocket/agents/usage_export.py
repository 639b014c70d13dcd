"""The usage analyst's tool: parses an export and sums it. Pure; cells are labels and numbers, never instructions."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

_LABEL_CHARACTERS = 64
_COLUMNS = 5
_SHORT_OUTPUT_TOKENS = 300
_SAVINGS_NAMED = 3
_LARGEST = 10**12  # tokens or dollars of one call: beyond it a line is a mistake, or meant to be unprintable
_WORTH_NAMING = Decimal("0.01")
_UNPRINTABLE = re.compile(r"[^\w .:/@+-]")


@dataclass(frozen=True, slots=True)
class Call:
    """One line of an export. `cost` is in US dollars."""

    model: str
    input_tokens: int
    output_tokens: int
    cost: Decimal

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Model:
    """What one model did and cost. `rate` is dollars per token, input and output together."""

    name: str
    calls: int
    tokens: int
    cost: Decimal
    short_tokens: int
    short_cost: Decimal

    @property
    def rate(self) -> Decimal:
        return self.cost / self.tokens


@dataclass(frozen=True, slots=True)
class Saving:
    """What moving some calls would have saved, in US dollars."""

    title: str
    detail: str
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Summary:
    """An export, summed: models by falling cost, and how many lines were not usage lines."""

    rows: int
    skipped: int
    cost: Decimal
    models: list[Model] = field(default_factory=list)

    def savings(self) -> list[Saving]:
        """The largest savings: each model's short answers at the rate of the cheapest model of this export."""
        cheapest = min(self.models, key=lambda model: model.rate)
        found = [_saving(model, cheapest) for model in self.models if model.rate > cheapest.rate]
        worth = sorted((saving for saving in found if saving.usd >= _WORTH_NAMING), key=lambda s: s.usd, reverse=True)
        return worth[:_SAVINGS_NAMED]


def looks_like_export(text: str) -> bool:
    """Whether at least one line is a usage line."""
    return next(_calls(text), None) is not None


def summarize(text: str) -> Summary:
    """Parse and sum; lines that are no usage lines are counted, not guessed at. `text` has at least one usage line."""
    calls = list(_calls(text))
    lines = sum(1 for line in text.splitlines() if line.strip() and not _is_header(line))
    by_model: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_model[call.model].append(call)
    models = sorted((_model(name, of) for name, of in by_model.items()), key=lambda model: (-model.cost, model.name))
    return Summary(len(calls), lines - len(calls), sum((call.cost for call in calls), Decimal(0)), models)


def _calls(text: str) -> Iterator[Call]:
    for cells in csv.reader(text.splitlines()):
        if call := _call([cell.strip() for cell in cells]):
            yield call


def _call(cells: list[str]) -> Call | None:
    if len(cells) != _COLUMNS or not cells[1]:
        return None
    try:
        call = Call(_label(cells[1]), int(cells[2]), int(cells[3]), Decimal(cells[4].removeprefix("$")))
    except (ValueError, InvalidOperation):
        return None
    usable = min(call.input_tokens, call.output_tokens) >= 0 and 0 < call.tokens <= _LARGEST
    return call if usable and call.cost.is_finite() and 0 <= call.cost <= _LARGEST else None


def _label(cell: str) -> str:
    return _UNPRINTABLE.sub("?", cell)[:_LABEL_CHARACTERS]


def _is_header(line: str) -> bool:
    return "input_tokens" in line.lower()


def _model(name: str, calls: list[Call]) -> Model:
    short = [call for call in calls if call.output_tokens <= _SHORT_OUTPUT_TOKENS]
    return Model(
        name=name,
        calls=len(calls),
        tokens=sum(call.tokens for call in calls),
        cost=sum((call.cost for call in calls), Decimal(0)),
        short_tokens=sum(call.tokens for call in short),
        short_cost=sum((call.cost for call in short), Decimal(0)),
    )


def _saving(model: Model, cheapest: Model) -> Saving:
    return Saving(
        title=f"Short answers of {model.name} to {cheapest.name}",
        detail=f"Answers of at most {_SHORT_OUTPUT_TOKENS} tokens, at the rate {cheapest.name} has in this export.",
        usd=model.short_cost - model.short_tokens * cheapest.rate,
    )
