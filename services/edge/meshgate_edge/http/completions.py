"""Legacy text completions as a conversation of one message, and back. Pure.

Any model answers them: a prompt is a user's message. Source: OpenAI API reference, POST /v1/completions.
"""

from collections.abc import Callable
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject, dumps
from meshgate_chassis.chat.request_json import request_from_json
from meshgate_chassis.chat.response_json import usage_to_json
from meshgate_chassis.chat.sse import DONE_EVENT, encode_event
from meshgate_chassis.chat.validate import validate_request
from meshgate_chassis.errors import invalid_field
from meshgate_edge.call import Chunks, Completed, Ended
from meshgate_edge.http.sse import cost_of
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

OBJECT: Final = "text_completion"
TOP_LOGPROBS_MAX: Final = 20


class TextShape:
    """Implements http_shapes.Shape."""

    call_type = "atext_completion"

    def request(self, body: JsonObject) -> chat_pb.ChatRequest:
        chat = {name: value for name, value in body.items() if name not in ("prompt", "logprobs")}
        chat["messages"] = [{"role": "user", "content": _prompt(body.get("prompt"))}]
        logprobs = body.get("logprobs")
        if logprobs is not None:
            if type(logprobs) is not int or not 0 <= logprobs <= TOP_LOGPROBS_MAX:
                raise invalid_field("logprobs", f"logprobs must be an integer of 0 to {TOP_LOGPROBS_MAX}")
            chat |= {"logprobs": True, "top_logprobs": logprobs}
        validate_request(chat)
        return request_from_json(chat)

    def answer(self, completed: Completed) -> JsonObject:
        response = completed.response
        body: JsonObject = {
            "id": response.id,
            "object": OBJECT,
            "created": response.created,
            "model": response.model,
            "choices": [
                _choice(choice.index or position, choice.message.text, choice.finish_reason or None)
                for position, choice in enumerate(response.choices)
            ],
            "usage": usage_to_json(response.usage),
        }
        cost = cost_of(completed.info)
        if cost is not None:
            body["cost"] = cost
        return body

    def events(self) -> Callable[[Chunks], bytes]:
        return _events

    def last(self, ended: Ended, *, include_usage: bool) -> bytes:
        if not include_usage:
            return DONE_EVENT
        body = _chunk(ended.last)
        body["usage"] = usage_to_json(ended.usage)
        cost = cost_of(ended.info)
        if cost is not None:
            body["cost"] = cost
        return encode_event(dumps(body)) + DONE_EVENT


def _events(ready: Chunks) -> bytes:
    return b"".join([encode_event(dumps(_chunk(chunk))) for chunk in ready.chunks if _says_something(chunk)])


def _prompt(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if type(value) is not str:
        raise invalid_field("prompt", "prompt must be one text: send several prompts as several requests")
    return value


def _choice(index: int, text: str, finish_reason: str | None) -> JsonObject:
    return {"index": index, "text": text, "finish_reason": finish_reason, "logprobs": None}


def _chunk(chunk: chat_pb.ChatChunk) -> JsonObject:
    return {
        "id": chunk.id,
        "object": OBJECT,
        "created": chunk.created,
        "model": chunk.model,
        "choices": [
            _choice(choice.index, choice.delta.content, choice.finish_reason or None)
            for choice in chunk.choices
        ],
    }


def _says_something(chunk: chat_pb.ChatChunk) -> bool:
    """Not a role alone."""
    return any(choice.delta.content or choice.finish_reason for choice in chunk.choices)
