"""What is reserved for a call is never below what its provider reports."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.chat.conftest import Scene
from tests.e2e.calling import Caller

from pointsman.budgets.bounds import Bound, prompt_and_output
from pointsman.llm.port import File, ModelCall, Text, UserMessage

TEXTS = {
    "short": "Hi",
    "English": "The gateway answers at once, and goes on answering when things break. " * 40,
    "Chinese": "网关立即回答,当事情出错时它继续回答。" * 40,
    "Russian": "Шлюз отвечает сразу и продолжает отвечать. " * 40,
    "code": "for (int i = 0; i < 10; i++) { sum += a[i]; }\n" * 40,
    "quotes": '"\\"\n' * 100,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("model", ["openai:gpt-4o", "openai-responses:gpt-4o", "anthropic:claude-sonnet-4-5", "google:gemini-2.5-flash"])
async def test_a_prompts_bound_is_above_what_every_wire_reports(scene: Scene, caller: Caller, model: str, text: str) -> None:
    tools = [{"type": "builtin", "name": "current_time"}, {"type": "builtin", "name": "memory"}]
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
    agent = await caller.agent(model=model, tools=tools, output_schema=schema, model_settings={"max_tokens": 50})
    given = {"subject_type": "agent", "subject_id": agent, "unit": "tokens", "period": "day", "amount": 10**6}
    budget = await caller.post("/v2/budgets", given)
    async with caller.stream(agent, f"{text} [[ttft=400]]", user_id="ann") as reader:
        await reader.take(1)
        held = 0
        while not held:
            held = (await caller.get(f"/v2/budgets/{budget['id']}"))["reserved"]
        await reader.rest()
    entry = scene.upstream.ledger()[0]  # an answer that does not match is asked for again
    assert held - 50 >= entry["usage"]["prompt_tokens"]


def test_documents_and_images_have_their_part() -> None:
    def prompt(*files: File) -> int:
        return prompt_and_output(ModelCall(("openai:gpt-4o",), "", (UserMessage((Text("x"), *files)),)), 10)[0]

    assert prompt(File("image/png", b"x")) - prompt() > 5000
    assert prompt(File("application/pdf", bytes(400_000))) - prompt() >= 100_000


def test_what_fits_into_the_rest_is_the_most_that_does() -> None:
    bound = Bound(("openai:gpt-4o", "anthropic:claude-sonnet-4-5"), 1000, 5000)
    for unit, rest in (("tokens", Decimal(4321)), ("cost", Decimal("0.0234"))):
        most = bound.output_within(unit, rest)  # type: ignore[arg-type]
        assert 0 < most < 5000
        assert bound.amount(unit, most) <= rest < bound.amount(unit, most + 1)  # type: ignore[arg-type]
    assert bound.output_within("tokens", Decimal(10)) < 0
    assert bound.output_within("cost", Decimal(0)) < 0
    assert bound.output_within("cost", Decimal(100)) == 5000
