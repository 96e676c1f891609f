"""A last message of the assistant: the demo provider goes on from its end, in both shapes."""

import aiohttp
import pytest

from tests.unit.demo.support import CHAT, MESSAGES, chat, data_of, text_of

ANSWER = "The capital of France is Paris."


def prefilled(prefix: str, directives: str = "") -> dict[str, object]:
    body = chat(f"What is the capital of France? {directives}", max_tokens=100)
    return {**body, "messages": [*body["messages"], {"role": "assistant", "content": prefix}]}


@pytest.mark.parametrize("cut", [0, 3, 11, len(ANSWER)])
async def test_it_goes_on_from_the_end(client: aiohttp.ClientSession, cut: int) -> None:
    """Whatever model is asked: the same question has the same answer."""
    async with client.post(
        CHAT, json={**prefilled(ANSWER[:cut]), "stream": True, "model": "other"}
    ) as answer:
        assert ANSWER[cut:] == text_of(data_of(await answer.read()))
    async with client.post(MESSAGES, json=prefilled(ANSWER[:cut].rstrip())) as answer:
        content = (await answer.json())["content"]
        assert ANSWER[cut:].strip() == "".join(block["text"] for block in content).strip()


@pytest.mark.parametrize(
    ("how", "expected"), [("restart", ANSWER), ("repeat:4", ANSWER[7:]), ("honour", ANSWER[11:])]
)
async def test_it_can_be_told_otherwise(client: aiohttp.ClientSession, how: str, expected: str) -> None:
    """As servers do that were not made for it."""
    async with client.post(CHAT, json=prefilled(ANSWER[:11], f"demo:prefill={how}")) as answer:
        assert expected == (await answer.json())["choices"][0]["message"]["content"]


async def test_anthropic_takes_no_white_space_at_the_end(client: aiohttp.ClientSession) -> None:
    """As the real one."""
    async with client.post(MESSAGES, json=prefilled("The capital ")) as answer:
        assert 400 == answer.status
