"""Token counts at the edge: for holds before a call, and for bills when a provider reports no usage.

Counts follow OpenAI's published rule for chat prompts: 3 tokens around each message, 1 for a name, 3 to
prime the answer. A very long text is counted in part and extrapolated: counting does not yield to the
event loop (about 16 ms per MB).
"""

from typing import Protocol

from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

MESSAGE_TOKENS = 3
NAME_TOKENS = 1
REPLY_TOKENS = 3
IMAGE_TOKENS = 765  # a 1024 x 1024 image at high detail
IMAGE_TOKENS_LOW = 85
COUNTED_CHARACTERS_MAX = 400_000


class Tokenizer(Protocol):
    """Counts the tokens of a text."""

    def count(self, text: str) -> int: ...


class TokenCounter:
    """Counts prompts and answers. One tokenizer serves all models: it is an estimate, and marked as one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def text(self, text: str) -> int:
        """Tokens of a text."""
        if len(text) <= COUNTED_CHARACTERS_MAX:
            return self._tokenizer.count(text)
        counted = self._tokenizer.count(text[:COUNTED_CHARACTERS_MAX])
        return counted * len(text) // COUNTED_CHARACTERS_MAX

    def prompt(self, request: chat_pb.ChatRequest) -> int:
        """Tokens of a request's messages and tools."""
        texts: list[str] = []
        fixed = REPLY_TOKENS
        for message in request.messages:
            fixed += MESSAGE_TOKENS + (NAME_TOKENS if message.HasField("name") else 0)
            fixed += _collect(message, texts)
        for tool in request.tools:
            texts += (tool.function.name, tool.function.description)
            texts.append((tool.function.parameters_json or tool.raw_json).decode())
        texts.append(request.response_format_json.decode())
        return fixed + self.text("\n".join(text for text in texts if text))

    def answer(self, response: chat_pb.ChatResponse) -> int:
        """Tokens a model wrote: content, reasoning, refusals and tool calls of every choice."""
        texts: list[str] = []
        for choice in response.choices:
            _collect(choice.message, texts)
            texts += (choice.message.reasoning_content, choice.message.refusal)
        return self.text("\n".join(text for text in texts if text))


def _collect(message: chat_pb.Message, texts: list[str]) -> int:
    """Adds the message's texts; returns the tokens of what is not text."""
    fixed = 0
    if message.WhichOneof("content") == "text":
        texts.append(message.text)
    for part in message.parts.parts:
        kind = part.WhichOneof("part")
        if kind == "text":
            texts.append(part.text.text)
        elif kind == "image_url":
            fixed += IMAGE_TOKENS_LOW if part.image_url.detail == "low" else IMAGE_TOKENS
        else:
            texts.append(part.raw_json.decode())
    for tool_call in message.tool_calls:
        texts += (tool_call.function.name, tool_call.function.arguments)
    return fixed
