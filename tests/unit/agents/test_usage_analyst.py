from __future__ import annotations

from agentsocket.agents.contract import Report, Text, Thinking, ToolEnded, ToolStarted, Turn
from agentsocket.agents.usage_analyst import UsageAnalyst
from tests.unit.agents.test_usage_export import EXPORT


async def events_for(text):
    agent = UsageAnalyst(pace_s=0)
    return [event async for event in agent.run(Turn("r", text))]


async def test_an_export_is_summed_by_a_tool_and_explained():
    events = await events_for(EXPORT)
    kinds = [type(event) for event in events if not isinstance(event, Text)]
    assert kinds == [Thinking, ToolStarted, ToolEnded, Thinking, Thinking, Report]
    answer = "".join(event.delta for event in events if isinstance(event, Text))
    assert "You spent $2.66 on 3 calls." in answer
    assert "- large: $2.60 (98%), 2 calls" in answer
    assert "- small: $0.06 (2%), 1 calls" in answer
    assert events[-1].recommendations[0]["savings_usd"] == "0.54"


async def test_anything_else_is_answered_with_what_it_can_do():
    events = await events_for("hello")
    answer = "".join(event.delta for event in events if isinstance(event, Text))
    assert "Paste CSV lines" in answer
    assert isinstance(events[-1], Report)


async def test_the_same_export_gets_the_same_answer():
    assert [e for e in await events_for(EXPORT) if isinstance(e, Text)] == [
        e for e in await events_for(EXPORT) if isinstance(e, Text)
    ]


async def test_many_models_are_named_by_the_largest():
    events = await events_for("\n".join(f"t,model-{n},1,1,{n}" for n in range(1, 1001)))
    answer = "".join(event.delta for event in events if isinstance(event, Text))
    assert "- model-1000: $1,000.00" in answer
    assert "- and 980 more models" in answer
    assert len(answer) < 3000
