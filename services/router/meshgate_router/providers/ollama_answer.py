"""Ollama's answers, whole and line by line -> OpenAI's shape: pure but for one stream's state.

The answers of /api/generate (`response` instead of `message`) are read as well.
"""

from collections.abc import Sequence
from typing import Any, Final

from meshgate_chassis.chat.chunk_json import chunk_from_json
from meshgate_chassis.chat.json import JsonObject, dumps, loads_object
from meshgate_chassis.chat.response_json import response_from_json, usage_from_json
from meshgate_chassis.chat.sse import SseEvent
from meshgate_chassis.errors import MeshError
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.base import senseless
from meshgate_router.providers.error_kinds import error_of, text_of
from meshgate_router.providers.made_ids import call_id, chat_id
from meshgate_router.providers.openai_answer import whole_answer

_REASONS: Final = {"length": "length"}  # stop, load, unload and what is not known: a normal stop
_ERROR_STATUS: Final = 500  # of an error line: the status was sent before


def chat_answer(body: bytes, *, created_s: int) -> pb.ChatResponse:
    """Raises ProviderError when the body is no answer."""
    answer = answer_object(body)
    if "choices" in answer:
        return whole_answer(body)  # Servers that pass for Ollama often speak OpenAI's shape only.
    if not _has_message(answer):
        raise senseless("it has no message")
    answer_id = id_of(answer, created_s)
    message = {"role": "assistant", **_said(answer)}
    message.setdefault("content", None)
    calls = _calls(answer, answer_id, 0)
    if calls:
        message["tool_calls"] = calls
    choice: JsonObject = {
        "index": 0,
        "message": message,
        "finish_reason": _reason(answer, called=bool(calls)),
    }
    if isinstance(answer.get("logprobs"), list):
        choice["logprobs"] = {"content": answer["logprobs"]}
    translated: JsonObject = {
        "id": answer_id,
        "object": "chat.completion",
        "created": created_s,
        "model": text_of(answer, "model"),
        "choices": [choice],
    }
    usage = usage_of(answer)
    if usage is not None:
        translated["usage"] = usage
    return response_from_json(translated)


class OllamaStreamDecoder:
    """Implements StreamDecoder. Only a line with `done` makes an answer whole."""

    def __init__(self, *, created_s: int) -> None:
        self._created_s = created_s
        self._id = ""
        self._call_count = 0
        self._usage: JsonObject | None = None
        self._finish_reason = ""

    @property
    def usage(self) -> pb.Usage | None:
        return None if self._usage is None else usage_from_json(self._usage)

    @property
    def finish_reason(self) -> str:
        return self._finish_reason

    @property
    def done(self) -> bool:
        return bool(self._finish_reason)

    @property
    def whole(self) -> bool:
        return bool(self._finish_reason)

    def feed(self, event: SseEvent) -> Sequence[pb.ChatChunk]:
        answer = answer_object(event.data)
        delta: JsonObject = {} if self._id else {"role": "assistant"}
        self._id = self._id or id_of(answer, self._created_s)
        delta |= _said(answer)
        calls = _calls(answer, self._id, self._call_count)
        if calls:
            delta["tool_calls"] = [
                {"index": number, **call} for number, call in enumerate(calls, self._call_count)
            ]
            self._call_count += len(calls)
        choice: JsonObject = {"index": 0, "delta": delta, "finish_reason": None}
        if isinstance(answer.get("logprobs"), list):
            choice["logprobs"] = {"content": answer["logprobs"]}
        chunk: JsonObject = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created_s,
            "model": text_of(answer, "model"),
            "choices": [choice],
        }
        if answer.get("done"):
            self._finish_reason = _reason(answer, called=bool(self._call_count))
            choice["finish_reason"] = self._finish_reason
            self._usage = usage_of(answer)
            if self._usage is not None:
                chunk["usage"] = self._usage
        return (chunk_from_json(chunk),)


def answer_object(text: bytes) -> JsonObject:
    """Raises ProviderError for an error, too."""
    try:
        answer = loads_object(text)
    except MeshError as error:
        raise senseless(error.message) from error
    if answer.get("error"):
        told = answer["error"]
        raise error_of(_ERROR_STATUS, told if isinstance(told, dict) else {"message": told}, {})
    return answer


def usage_of(answer: JsonObject) -> JsonObject | None:
    """None when a count is missing: Ollama leaves out that of a prompt it has cached."""
    prompt, completion = answer.get("prompt_eval_count"), answer.get("eval_count")
    if not isinstance(prompt, int) or not isinstance(completion, int) or min(prompt, completion) < 0:
        return None
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def id_of(answer: JsonObject, created_s: int) -> str:
    """Ollama gives none; `created_at` has nanoseconds."""
    return chat_id(created_s, answer.get("created_at"), answer.get("model"), dumps(answer.get("message")))


def _has_message(answer: JsonObject) -> bool:
    return isinstance(answer.get("message"), dict) or "response" in answer


def _message(answer: JsonObject) -> JsonObject:
    message = answer.get("message")
    if isinstance(message, dict):
        return message
    return {"content": answer.get("response"), "thinking": answer.get("thinking")}


def _said(answer: JsonObject) -> JsonObject:
    """Text and thoughts, each if there is any."""
    message = _message(answer)
    found = {"content": message.get("content"), "reasoning_content": message.get("thinking") or None}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _calls(answer: JsonObject, answer_id: str, first: int) -> list[JsonObject]:
    listed = _message(answer).get("tool_calls")
    found = [call for call in (listed if isinstance(listed, list) else ()) if isinstance(call, dict)]
    return [_call(call, answer_id, number) for number, call in enumerate(found, first)]


def _call(call: JsonObject, answer_id: str, number: int) -> JsonObject:
    function: Any = call.get("function")
    function = function if isinstance(function, dict) else {}
    given = function.get("arguments")
    arguments = given if isinstance(given, str) else dumps(given or {}).decode()
    return {
        "id": text_of(call, "id") or call_id(answer_id, number, arguments),
        "type": "function",
        "function": {"name": text_of(function, "name"), "arguments": arguments},
    }


def _reason(answer: JsonObject, *, called: bool) -> str:
    return "tool_calls" if called else _REASONS.get(text_of(answer, "done_reason"), "stop")
