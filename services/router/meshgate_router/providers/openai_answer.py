"""Answers of OpenAI-compatible providers in OpenAI's own terms: pure.

Two things differ among them: where the reasoning is (`reasoning`, or thinking parts inside a content
list), and how usage is told (openai_usage.py). What is read need not be perfect: unknown members, events and
finish reasons pass, nulls and empty events are nothing.
"""

from collections.abc import Sequence
from typing import Any

from meshgate_chassis.chat.chunk_json import chunk_from_json
from meshgate_chassis.chat.json import JsonObject, loads_object
from meshgate_chassis.chat.response_json import response_from_json, usage_from_json
from meshgate_chassis.chat.sse import DONE_DATA, SseEvent
from meshgate_chassis.errors import MeshError
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.base import ProviderError, senseless
from meshgate_router.providers.error_kinds import error_of, text_of
from meshgate_router.providers.openai_text import as_chat
from meshgate_router.providers.openai_usage import usage_in
from meshgate_router.providers.text_pieces import TextPieces

STREAM_ERROR_STATUS = 500  # of an error event that names no status of its own


def whole_answer(body: bytes) -> pb.ChatResponse:
    """Raises ProviderError when the body is no chat completion."""
    answer = _object(body)
    _refuse_error(answer)
    as_chat(answer, "message")
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise senseless("it has no choices")
    for choice in choices:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise senseless("a choice has no message")
        normalize(choice["message"])
    usage = usage_in(answer)
    answer.pop("usage", None)
    if usage is not None:
        answer["usage"] = usage
    return response_from_json(answer)


class OpenAIStreamDecoder:
    """Implements StreamDecoder. Some servers forget [DONE]: a finish reason of every choice does as well."""

    def __init__(self) -> None:
        self._usage: pb.Usage | None = None
        self._done = False
        self._finish_reasons: dict[int, str] = {}
        self._pieces = TextPieces()

    @property
    def usage(self) -> pb.Usage | None:
        return self._usage

    @property
    def finish_reason(self) -> str:
        return self._finish_reasons.get(0, "")

    @property
    def done(self) -> bool:
        return self._done

    @property
    def whole(self) -> bool:
        return self._done or (bool(self._finish_reasons) and all(self._finish_reasons.values()))

    def feed(self, event: SseEvent) -> Sequence[pb.ChatChunk]:
        data = event.data.strip()
        if data == DONE_DATA:
            self._done = True
        if not data or self._done:
            return ()
        named = event.event == "error"
        piece = None if named else self._pieces.read(data)
        if piece is not None:
            return (piece,)
        body = _object(data)
        usage = usage_in(body)
        if usage is not None:
            self._usage = usage_from_json(usage)
        if isinstance(body.get("usage"), dict):
            body["usage"] = usage
        if (
            not self.whole
        ):  # Later it does not matter; OpenRouter does so when a limit of tokens ended the answer.
            _refuse_error(body, named=named)
        if body.get("choices") is None and usage is None:
            return ()  # a sign of life, or news yet to be invented
        as_chat(body, "delta")
        choices = body.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            self._read(choice)
        chunk = chunk_from_json(body)
        if usage is None and not self.whole:
            self._pieces.learn(data, body, chunk)
        return (chunk,)

    def _read(self, choice: Any) -> None:
        if not isinstance(choice, dict):
            raise senseless("a choice is no object")
        if choice.get("error"):
            raise stream_error(choice["error"])
        if isinstance(delta := choice.get("delta"), dict):
            normalize(delta)
        if choice.get("finish_reason") == "":
            choice["finish_reason"] = None
        self._note_finish(choice)

    def _note_finish(self, choice: JsonObject) -> None:
        index, reason = choice.get("index", 0), choice.get("finish_reason")
        if isinstance(index, int):
            self._finish_reasons[index] = (
                reason if isinstance(reason, str) else self._finish_reasons.get(index, "")
            )


def normalize(message: JsonObject) -> None:
    """Moves the reasoning of a message or a delta to `reasoning_content`, in place."""
    reasoning = message.get("reasoning")
    if isinstance(reasoning, str) and message.get("reasoning_content") is None:
        message["reasoning_content"] = message.pop("reasoning")
    content = message.get("content")
    if isinstance(content, list):
        texts, thoughts = _texts(content)
        message["content"] = texts
        if thoughts:
            message["reasoning_content"] = thoughts


def _texts(parts: Sequence[Any]) -> tuple[str, str]:
    """Text and reasoning of a content list, as Mistral's reasoning models give it."""
    texts, thoughts = [], []
    for part in parts:
        if isinstance(part, dict) and part.get("type") == "thinking":
            inner = part.get("thinking")
            thoughts.append(_texts(inner)[0] if isinstance(inner, list) else text_of(part, "thinking"))
        elif isinstance(part, dict) and part.get("type") == "text":
            texts.append(text_of(part, "text"))
    return "".join(texts), "".join(thoughts)


def stream_error(error: Any) -> ProviderError:
    """The ProviderError of an error object inside an answer that began with 200."""
    details = error if isinstance(error, dict) else {"message": error}
    told = (details.get(name) for name in ("status_code", "status", "code"))
    status = next((code for code in told if isinstance(code, int) and 400 <= code < 600), STREAM_ERROR_STATUS)
    return error_of(status, details, {})


def _refuse_error(body: JsonObject, *, named: bool = False) -> None:
    """`named`: the event says itself that it is an error. vLLM has errors that are the whole body."""
    if body.get("error"):
        raise stream_error(body["error"])
    if named or body.get("object") == "error":
        raise stream_error(body)


def _object(text: bytes) -> JsonObject:
    try:
        return loads_object(text)
    except MeshError as error:
        raise senseless(error.message) from error
