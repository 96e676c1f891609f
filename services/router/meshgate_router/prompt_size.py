"""How many tokens a prompt may have, roughly: pure. For limits, prices and windows, never for money."""

from typing import Final

from meshgate_protos.chat.v1 import chat_pb2 as pb

CHARACTERS_PER_TOKEN: Final = 4
MESSAGE_TOKENS: Final = 4  # role and separators
IMAGE_TOKENS: Final = 765  # of a picture of usual size, whatever its bytes


def estimated_tokens(chat: pb.ChatRequest) -> int:
    """Four characters are a token."""
    characters, tokens = 0, 0
    for message in chat.messages:
        tokens += MESSAGE_TOKENS
        if message.HasField("parts"):
            for part in message.parts.parts:
                characters += len(part.text.text)
                tokens += IMAGE_TOKENS if part.HasField("image_url") else 0
        else:
            characters += len(message.text)
        characters += sum(len(call.function.arguments) for call in message.tool_calls)
    return tokens + characters // CHARACTERS_PER_TOKEN


def output_tokens_max(chat: pb.ChatRequest) -> int | None:
    """As the request says; None: it does not."""
    for name in ("max_completion_tokens", "max_tokens"):
        if chat.HasField(name):
            return max(0, int(getattr(chat, name)))
    return None
