"""Token counts at the edge: for holds before a call, and for bills when a provider reports no usage.

Counts follow OpenAI's published rule for chat prompts, and for other families what was measured of them
(families.py). A very long text is counted in part and extrapolated: counting does not yield to the
event loop (about 16 ms per MB).
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from meshgate_chassis.config.model import Deployment
from meshgate_edge.tokens.families import OPENAI, Family, family_of
from meshgate_edge.tokens.media import image_tokens, part_tokens
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

NAME_TOKENS = 1
COUNTED_CHARACTERS_MAX = 400_000


class Tokenizer(Protocol):
    """Counts the tokens of a text."""

    def count(self, text: str) -> int: ...


class TokenCounter:
    """Counts prompts and answers. `cl100k`: None counts those models with o200k. `groups`: the family that a
    model group's prompts are counted for, before anybody knows who will answer."""

    def __init__(
        self,
        o200k: Tokenizer,
        cl100k: Tokenizer | None = None,
        groups: Mapping[str, Family] | None = None,
    ) -> None:
        self._o200k = o200k
        self._cl100k = cl100k or o200k
        self._groups = groups or {}

    def group(self, model: str) -> Family:
        """The family to count prompts for a model group with."""
        return self._groups.get(model, OPENAI)

    def text(self, text: str, family: Family = OPENAI) -> int:
        """Tokens of a text."""
        return _scaled(self._units(text, family), family)

    def prompt(self, request: chat_pb.ChatRequest) -> int:
        """Tokens of a request's messages and tools, for the model that it asks for."""
        family = self.group(request.model)
        texts: list[str] = []
        fixed = family.prompt_tokens
        for message in request.messages:
            fixed += family.message_tokens + (NAME_TOKENS if message.HasField("name") else 0)
            fixed += _collect(message, texts, family)
        for tool in request.tools:
            texts += (tool.function.name, tool.function.description)
            texts.append((tool.function.parameters_json or tool.raw_json).decode())
        texts.append(request.response_format_json.decode())
        return fixed + self.text("\n".join(text for text in texts if text), family)

    def answer(self, response: chat_pb.ChatResponse, family: Family = OPENAI) -> int:
        """Tokens a model wrote: content, reasoning, refusals and tool calls of every choice."""
        texts: list[str] = []
        for choice in response.choices:
            _collect(choice.message, texts, family)
            texts += (choice.message.reasoning_content, choice.message.refusal)
        units = sum(self._units(text, family) for text in texts if text)
        return _scaled(units, family) + family.answer_tokens if units else 0

    def reasoning(self, response: chat_pb.ChatResponse, family: Family = OPENAI) -> int:
        """Those of them that are reasoning."""
        texts = (choice.message.reasoning_content for choice in response.choices)
        return _scaled(sum(self._units(text, family) for text in texts if text), family)

    def chunk_permilles(self, chunk: chat_pb.ChatChunk, family: Family = OPENAI) -> int:
        """Thousandths of tokens of one part of an answer. Parts counted one by one are at least as many as
        the whole: a token never joins two parts."""
        units = 0
        for choice in chunk.choices:
            delta = choice.delta
            if delta.content:
                units += self._units(delta.content, family)
            if delta.reasoning_content:
                units += self._units(delta.reasoning_content, family)
            if delta.refusal:
                units += self._units(delta.refusal, family)
            for call in delta.tool_calls:
                units += self._units(call.function.name + call.function.arguments, family)
        return units * family.permille

    def text_permilles(self, text: str, family: Family = OPENAI) -> int:
        """The same of a part that has nothing but text."""
        return self._units(text, family) * family.permille if text else 0

    def _units(self, text: str, family: Family) -> int:
        """Tokens of the family's vocabulary."""
        tokenizer = self._cl100k if family.vocabulary == "cl100k" else self._o200k
        if len(text) <= COUNTED_CHARACTERS_MAX:
            return tokenizer.count(text)
        return tokenizer.count(text[:COUNTED_CHARACTERS_MAX]) * len(text) // COUNTED_CHARACTERS_MAX


def _scaled(units: int, family: Family) -> int:
    return -(-units * family.permille // 1_000)


def families_of_groups(deployments: Iterable[Deployment]) -> dict[str, Family]:
    """For each model group the family that counts most, so that a hold is not too small."""
    families: dict[str, Family] = {}
    for each in deployments:
        family = family_of(each.provider, each.upstream_model)
        held = families.get(each.model_group)
        if held is None or family.permille > held.permille:
            families[each.model_group] = family
    return families


def _collect(message: chat_pb.Message, texts: list[str], family: Family) -> int:
    """Adds the message's texts; returns the tokens of what is not text."""
    fixed = 0
    if message.WhichOneof("content") == "text":
        texts.append(message.text)
    for part in message.parts.parts:
        kind = part.WhichOneof("part")
        if kind == "text":
            texts.append(part.text.text)
        elif kind == "image_url":
            fixed += image_tokens(part.image_url.url, part.image_url.detail, family)
        else:
            tokens = part_tokens(part.raw_json, family)
            if tokens is None:
                texts.append(part.raw_json.decode())
            else:
                fixed += tokens
    for tool_call in message.tool_calls:
        texts += (tool_call.function.name, tool_call.function.arguments)
    return fixed
