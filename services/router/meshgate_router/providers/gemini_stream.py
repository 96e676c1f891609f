"""Gemini's stream events -> chunks in OpenAI's shape, one stream each.

Every event is a piece of an answer; nothing marks the end but the finish reasons. The last usage wins.
"""

from collections.abc import Sequence
from typing import Final

from meshgate_chassis.chat.chunk_json import chunk_from_json
from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.chat.response_json import usage_from_json
from meshgate_chassis.chat.sse import DONE_DATA, SseEvent
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.error_kinds import text_of
from meshgate_router.providers.gemini_answer import (
    answer_object,
    candidates_of,
    extras_of,
    finish_reason,
    id_of,
    index_of,
    logprobs_of,
    metadata_of,
    parts_of,
    tool_call,
)
from meshgate_router.providers.gemini_usage import usage_of

OBJECT: Final = "chat.completion.chunk"


class GeminiStreamDecoder:
    """Implements StreamDecoder."""

    def __init__(self, *, created_s: int) -> None:
        self._created_s = created_s
        self._id = ""
        self._model = ""
        self._usage: JsonObject | None = None
        self._calls: dict[int, int] = {}  # number of calls so far, by candidate
        self._finish_reasons: dict[int, str] = {}  # "" until there is one

    @property
    def usage(self) -> pb.Usage | None:
        return None if self._usage is None else usage_from_json(usage_of(self._usage))

    @property
    def finish_reason(self) -> str:
        return self._finish_reasons.get(0, "")

    @property
    def done(self) -> bool:
        return False  # The usage may come after the finish reason: only the end of the bytes is the end.

    @property
    def whole(self) -> bool:
        return bool(self._finish_reasons) and all(self._finish_reasons.values())

    def feed(self, event: SseEvent) -> Sequence[pb.ChatChunk]:
        if event.data == DONE_DATA:
            return ()
        answer = answer_object(event.data)
        self._id = self._id or id_of(answer, self._created_s)
        self._model = text_of(answer, "modelVersion") or self._model
        usage = answer.get("usageMetadata")
        if isinstance(usage, dict):
            self._usage = usage
        candidates = candidates_of(answer)
        chunk: JsonObject = {
            "id": self._id,
            "object": OBJECT,
            "created": self._created_s,
            "model": self._model,
            "choices": [self._choice(candidate, at) for at, candidate in enumerate(candidates)],
            **metadata_of(candidates),
        }
        if self.whole and self._usage is not None:
            chunk["usage"] = usage_of(self._usage)
        return (chunk_from_json(chunk),) if candidates or "usage" in chunk else ()

    def _choice(self, candidate: JsonObject, position: int) -> JsonObject:
        index = index_of(candidate, position)
        delta: JsonObject = {} if index in self._finish_reasons else {"role": "assistant"}
        self._finish_reasons.setdefault(index, "")
        parts = parts_of(candidate)
        texts = [text_of(part, "text") for part in parts if "text" in part and not part.get("thought")]
        if texts:
            delta["content"] = "".join(texts)
        thoughts = "".join(text_of(part, "text") for part in parts if part.get("thought"))
        if thoughts:
            delta["reasoning_content"] = thoughts
        calls = [self._call(part, index) for part in parts if isinstance(part.get("functionCall"), dict)]
        if calls:
            delta["tool_calls"] = calls
        choice: JsonObject = {"index": index, "delta": {**delta, **extras_of(parts)}}
        logprobs = logprobs_of(candidate)
        if logprobs is not None:
            choice["logprobs"] = logprobs
        choice["finish_reason"] = self._finish(candidate, index)
        return choice

    def _call(self, part: JsonObject, index: int) -> JsonObject:
        number = self._calls.get(index, 0)
        self._calls[index] = number + 1
        return {"index": number, **tool_call(part, (self._id, index, number))}

    def _finish(self, candidate: JsonObject, index: int) -> str | None:
        reason = candidate.get("finishReason")
        if not isinstance(reason, str) or not reason:
            return None
        said = finish_reason(reason, called=bool(self._calls.get(index)))
        self._finish_reasons[index] = said
        return said
