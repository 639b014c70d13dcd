"""What a person sees of each frame: frames go in, things that rich can print come out. Where it is printed is not here.

The text of an answer arrives in pieces: whole lines come out, the unfinished one is `pending`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from local.chat.lines import action_plan, clean, dollars, one_line, recommendations

Payload = dict[str, Any]

_QUOTED_LINES = 6  # of a question; the rest is counted
_OUTCOMES = {"success": ("✓", "green"), "stopped": ("■", "yellow"), "error": ("✗", "red"), "timeout": ("✗", "red")}


class Screen:
    """Turns frames into lines; remembers the answer under way. `width` is the terminal's, in cells."""

    def __init__(self, width: Callable[[], int]) -> None:
        self.pending = ""
        self._width = width
        self._own: set[str] = set()
        self._streamed: set[str] = set()  # ids of the answers whose text was shown as it came
        self._show: dict[str, Callable[[Payload], list[RenderableType]]] = {
            "user_message": self._user_message,
            "agent_started": self._agent_started,
            "agent_thinking": self._agent_thinking,
            "tool_executing": self._tool_executing,
            "tool_completed": self._tool_completed,
            "agent_error": self._agent_error,
            "agent_recovery": self._agent_recovery,
            "agent_completed": self._agent_completed,
            "final_report": self._final_report,
            "thread_snapshot": self._thread_snapshot,
            "disconnect": self._disconnect,
            "error": lambda payload: [failure(one_line(payload.get("message")))],
        }

    def own(self, message_id: str, content: str) -> list[RenderableType]:
        """A message of this person, as it is sent; its echo from the server will not be shown."""
        self._own.add(message_id)
        return [*self._finished(), _quoted(content, "> ", "bold")]

    def show(self, frame: dict[str, Any]) -> list[RenderableType]:
        """What a frame adds to the screen; nothing, for a type that has no picture here."""
        payload = frame["payload"]
        if frame["type"] == "partial_result":
            return self._partial_result(payload)
        show = self._show.get(frame["type"])
        rest, self.pending = self.pending, ""
        shown = show(payload) if show is not None else []
        if not shown:
            self.pending = rest
        return [*([Text(rest)] if rest and shown else []), *shown]

    def _finished(self) -> list[RenderableType]:
        """The line under way gives room to something else."""
        rest, self.pending = self.pending, ""
        return [Text(rest)] if rest else []

    def _disconnect(self, payload: Payload) -> list[RenderableType]:
        """Nothing for a token's end: the client comes back with a new one, and its status says the rest."""
        code = one_line(payload.get("code"))
        if code == "token_expired":
            return []
        return [warning(f"The server disconnects: {one_line(payload.get('reason')) or code}")]

    def _partial_result(self, payload: Payload) -> list[RenderableType]:
        message_id, content = str(payload.get("message_id")), clean(payload.get("content"))
        first: list[RenderableType] = [Text("")] if message_id not in self._streamed else []
        self._streamed.add(message_id)
        lines = self._stream(content)
        return [*first, *lines, *(self._finished() if payload.get("is_complete") else [])]

    def _stream(self, content: str) -> list[RenderableType]:
        """The lines that `content` completes, wrapped at words."""
        *lines, rest = (self.pending + content).expandtabs(4).split("\n")
        shown: list[RenderableType] = [Text(line) for line in lines]
        while cell_len(rest) >= self._width():
            end = rest.rfind(" ", 1, self._width()) + 1 or self._width()
            shown.append(Text(rest[:end].rstrip()))
            rest = rest[end:]
        self.pending = rest
        return shown

    def _user_message(self, payload: Payload) -> list[RenderableType]:
        if payload.get("message_id") in self._own:
            return []
        return [_quoted(clean(payload.get("content")), "elsewhere > ", "bold dim")]

    def _agent_started(self, payload: Payload) -> list[RenderableType]:
        nested = "  " if payload.get("parent_agent_id") is not None else ""
        shown: list[RenderableType] = [Text(f"{nested}● {one_line(payload.get('agent_name'))}", style="bold cyan")]
        attempt = payload.get("attempt")
        if isinstance(attempt, int) and attempt > 1:
            shown.append(warning(f"Attempt {attempt}: what was answered above is taken back."))
        return shown

    def _agent_thinking(self, payload: Payload) -> list[RenderableType]:
        step, total = payload.get("step"), payload.get("total_steps")
        of = f" ({step}/{total})" if isinstance(step, int) and isinstance(total, int) else ""
        return [Text(f"  {one_line(payload.get('thought'))}{of}", style="dim italic")]

    def _tool_executing(self, payload: Payload) -> list[RenderableType]:
        text = Text("  → ", style="blue")
        text.append(one_line(payload.get("tool_name")))
        text.append(f"  {one_line(payload.get('arguments'))}", style="dim")
        return [self._cut(text)]

    def _tool_completed(self, payload: Payload) -> list[RenderableType]:
        mark, style = _OUTCOMES.get(str(payload.get("outcome")), ("?", "yellow"))
        text = Text(f"  {mark} ", style=style)
        text.append(f"{one_line(payload.get('tool_name'))}  {_duration(payload.get('duration_ms'))}")
        text.append(f"  {one_line(payload.get('result_preview'))}", style="dim")
        return [self._cut(text)]

    def _agent_error(self, payload: Payload) -> list[RenderableType]:
        said = one_line(payload.get("user_message") or payload.get("message"))
        sentence = f"{said} {one_line(payload.get('suggested_action'))}".strip()
        return [warning(sentence) if payload.get("is_recoverable") else failure(sentence)]

    def _agent_recovery(self, payload: Payload) -> list[RenderableType]:
        delay = payload.get("delay_ms")
        wait = f", in {_duration(delay)}" if delay is not None else ""
        return [warning(f"{one_line(payload.get('kind')).replace('_', ' ')}{wait}")]

    def _agent_completed(self, payload: Payload) -> list[RenderableType]:
        outcome = str(payload.get("outcome"))
        if outcome == "success":
            return []
        mark, style = _OUTCOMES.get(outcome, ("?", "yellow"))
        name, duration = one_line(payload.get("agent_name")), _duration(payload.get("duration_ms"))
        return [Text(f"{mark} {name}: {one_line(outcome)} after {duration}", style=style)]

    def _final_report(self, payload: Payload) -> list[RenderableType]:
        shown: list[RenderableType] = []
        if str(payload.get("message_id")) not in self._streamed:
            shown += [Text(""), Markdown(clean(payload.get("content")), hyperlinks=False)]
            shown += [Text("(the text is longer)", style="dim")] if payload.get("truncated") else []
        if found := recommendations(payload):
            shown += [Text(""), _table(found)]
        if steps := action_plan(payload):
            shown += [Text("\nWhat to do", style="bold")]
            shown += [Padding(Text(f"{number}. {step}"), (0, 0, 0, 2)) for number, step in enumerate(steps, start=1)]
        return [*shown, Text(f"\n✓ {_measures(payload)}", style="dim green"), Text("")]

    def _thread_snapshot(self, payload: Payload) -> list[RenderableType]:
        shown: list[RenderableType] = [warning("Too much has happened to replay it. The newest messages:")]
        for message in _messages(payload):
            asked = message.get("role") == "user"
            shown.append(_quoted(clean(message.get("content")), "> " if asked else "  ", "bold" if asked else "none"))
        active = payload.get("active_run")
        if isinstance(active, dict):
            self._streamed.add(str(active.get("message_id")))
            shown += [Text(""), *self._stream(clean(active.get("content")))]
        return shown

    def _cut(self, text: Text) -> Text:
        text.truncate(self._width(), overflow="ellipsis")
        return text


def notice(sentence: str) -> Text:
    """Something that is good to know."""
    return Text(sentence, style="dim")


def warning(sentence: str) -> Text:
    """Something that may pass."""
    return Text(f"! {sentence}", style="yellow")


def failure(sentence: str) -> Text:
    """Something that did not work."""
    return Text(f"✗ {sentence}", style="red")


def _messages(payload: Payload) -> list[Payload]:
    listed = payload.get("messages")
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _quoted(content: str, mark: str, style: str) -> Text:
    """The first lines of a message, and how many more there are."""
    lines = clean(content).strip().expandtabs(4).split("\n")
    more = len(lines) - _QUOTED_LINES
    shown = lines if more <= 1 else [*lines[:_QUOTED_LINES], f"... and {more:,} more lines"]
    return Text(mark + f"\n{' ' * len(mark)}".join(shown), style=style)


def _table(found: list[tuple[str, str, str]]) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Recommendation")
    table.add_column("Saves", justify="right", style="green", no_wrap=True)
    for title, detail, savings in found:
        cell = Text(title, style="bold")
        cell.append(f"\n{detail}" if detail else "", style="not bold dim")
        table.add_row(cell, savings)
    return table


def _measures(payload: Payload) -> str:
    """Duration and the agent's own figures, in one line."""
    metrics = payload.get("agent_metrics")
    figures = [
        f"{one_line(name).removesuffix('_usd')} {dollars(value) if str(name).endswith('_usd') else one_line(value)}"
        for name, value in (metrics.items() if isinstance(metrics, dict) else ())
    ]
    return " · ".join([f"done in {_duration(payload.get('total_duration_ms'))}", *figures])


def _duration(milliseconds: object) -> str:
    if not isinstance(milliseconds, int | float):
        return "an unknown time"
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"
