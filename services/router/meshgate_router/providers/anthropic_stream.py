"""Anthropic's stream events -> chunks in OpenAI's shape, one stream each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject, dumps, loads_object
from meshgate_chassis.chat.response_json import usage_from_json
from meshgate_chassis.chat.sse import DONE_DATA, SseEvent
from meshgate_chassis.errors import MeshError
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.anthropic_response import chat_id, finish_reason, usage_of
from meshgate_router.providers.anthropic_tools import JSON_TOOL
from meshgate_router.providers.base import ProviderError, senseless
from meshgate_router.providers.error_kinds import error_of, text_of

BLOCKS_MAX: Final = 4_096  # of one answer; each keeps a little state

_CHUNK_EXTRA: Final = b'{"object":"chat.completion.chunk"}'
_USAGE_CHUNK_EXTRA: Final = b'{"object":"chat.completion.chunk","choices":[]}'

# The status each kind of error would have had before the stream began.
STATUS_OF_ERROR: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


@dataclass(slots=True)
class _Block:
    """A content block under way. `tool_index`: of its call, in OpenAI's counting; None: no tool call.
    `answer`: the arguments are the answer itself. `thoughts`: the pieces of a thinking block, else None."""

    tool_index: int | None = None
    thoughts: list[str] | None = None
    signature: str = ""
    answer: bool = False
    given_input: Any = None
    got_input: bool = False


class AnthropicStreamDecoder:
    """Implements StreamDecoder. Only `message_stop` makes an answer whole."""

    def __init__(self, *, created_s: int, json_answer: bool) -> None:
        self._created_s = created_s
        self._json_answer = json_answer
        self._id = chat_id(None)
        self._model = ""
        self._counts: JsonObject = {}
        self._blocks: dict[int | None, _Block] = {}
        self._tool_count = 0
        self._answered_by_tool = False
        self._role_sent = False
        self._finish_reason = ""
        self._done = False

    @property
    def usage(self) -> pb.Usage | None:
        return usage_from_json(usage_of(self._counts)) if "output_tokens" in self._counts else None

    @property
    def finish_reason(self) -> str:
        return self._finish_reason

    @property
    def done(self) -> bool:
        return self._done

    @property
    def whole(self) -> bool:
        return self._done

    def feed(self, event: SseEvent) -> Sequence[pb.ChatChunk]:
        data = event.data.strip()
        if not data or data == DONE_DATA:
            return ()  # from those who pass for Anthropic
        try:
            body = loads_object(data)
        except MeshError as error:
            raise senseless(error.message) from error
        kind, index = body.get("type"), body.get("index")
        if not isinstance(index, int | None):
            raise senseless("the index of a content block is no number")
        if kind == "content_block_delta":
            return self._delta(index, _object(body, "delta"))
        if kind == "content_block_start":
            return self._block_start(index, _object(body, "content_block"))
        if kind == "content_block_stop":
            return self._block_stop(index)
        if kind == "message_start":
            self._message_start(_object(body, "message"))
        elif kind == "message_delta":
            return self._message_delta(_object(body, "delta"), body.get("usage"))
        elif kind == "message_stop":
            self._done = True
            return (self._usage_chunk(),)
        elif kind == "error":
            raise stream_error(body.get("error"))
        return ()  # ping, and events yet to be invented

    def _message_start(self, message: JsonObject) -> None:
        self._id = chat_id(message.get("id"))
        self._model = text_of(message, "model")
        if isinstance(message.get("usage"), dict):
            self._counts.update(message["usage"])

    def _block_start(self, index: int | None, block: JsonObject) -> Sequence[pb.ChatChunk]:
        if len(self._blocks) >= BLOCKS_MAX:
            raise senseless("it has too many content blocks")
        kind = block.get("type")
        state = self._blocks[index] = _Block()
        if kind == "text" and block.get("text"):
            return self._chunk(pb.MessageDelta(content=text_of(block, "text")))
        if kind == "redacted_thinking":
            return self._thinking_block(block)
        if kind == "thinking":
            state.thoughts, state.signature = [], text_of(block, "signature")
            return self._thought(state, text_of(block, "thinking"))
        if kind != "tool_use":
            return ()
        state.given_input = block.get("input")
        if self._json_answer and block.get("name") == JSON_TOOL:
            state.answer = self._answered_by_tool = True
            return ()
        state.tool_index = self._tool_count
        self._tool_count += 1
        function = pb.FunctionCall(name=text_of(block, "name"), arguments="")
        call = pb.ToolCallDelta(
            index=state.tool_index, id=text_of(block, "id"), type="function", function=function
        )
        return self._chunk(pb.MessageDelta(tool_calls=[call]))

    def _delta(self, index: int | None, delta: JsonObject) -> Sequence[pb.ChatChunk]:
        kind = delta.get("type")
        if kind == "text_delta":
            return self._chunk(pb.MessageDelta(content=text_of(delta, "text")))
        state = self._blocks.get(index)
        if state is None:
            raise senseless("a content block was not opened")
        if kind == "thinking_delta":
            return self._thought(state, text_of(delta, "thinking"))
        if kind == "signature_delta":
            state.signature += text_of(delta, "signature")
        if kind == "input_json_delta":
            return self._arguments(state, text_of(delta, "partial_json"))
        if kind == "citations_delta":
            fields = {"provider_specific_fields": {"citation": delta.get("citation")}}
            return self._chunk(pb.MessageDelta(extra_json=dumps(fields)))
        return ()

    def _block_stop(self, index: int | None) -> Sequence[pb.ChatChunk]:
        state = self._blocks.get(index)
        if state is None:
            return ()
        if state.thoughts is not None:
            # Whole and once, with its signature: this is what a client has to send back.
            block = {"type": "thinking", "thinking": "".join(state.thoughts), "signature": state.signature}
            return self._thinking_block(block)
        if state.got_input:
            return ()
        # A tool without arguments sends none; the text of an empty object is still due.
        return self._arguments(state, dumps(state.given_input or {}).decode())

    def _message_delta(self, delta: JsonObject, usage: Any) -> Sequence[pb.ChatChunk]:
        if isinstance(usage, dict):
            self._counts.update({name: value for name, value in usage.items() if value is not None})
        if delta.get("stop_reason") is None:
            return ()
        reason = finish_reason(delta["stop_reason"])
        if self._answered_by_tool and not self._tool_count and reason == "tool_calls":
            reason = "stop"
        self._finish_reason = reason
        return self._chunk(pb.MessageDelta(), reason)

    def _arguments(self, state: _Block, text: str) -> Sequence[pb.ChatChunk]:
        if not text or (state.tool_index is None and not state.answer):
            return ()
        state.got_input = True
        if state.answer:
            return self._chunk(pb.MessageDelta(content=text))
        call = pb.ToolCallDelta(
            index=state.tool_index, type="function", function=pb.FunctionCall(arguments=text)
        )
        return self._chunk(pb.MessageDelta(tool_calls=[call]))

    def _thought(self, state: _Block, text: str) -> Sequence[pb.ChatChunk]:
        if not text or state.thoughts is None:
            return ()
        state.thoughts.append(text)
        return self._chunk(pb.MessageDelta(reasoning_content=text))

    def _thinking_block(self, block: JsonObject) -> Sequence[pb.ChatChunk]:
        return self._chunk(pb.MessageDelta(extra_json=dumps({"thinking_blocks": [block]})))

    def _chunk(self, delta: pb.MessageDelta, reason: str = "") -> Sequence[pb.ChatChunk]:
        if not self._role_sent:
            self._role_sent = True
            delta.role = "assistant"
        choice = pb.ChoiceDelta(index=0, delta=delta)
        if reason:
            choice.finish_reason = reason
        return (
            pb.ChatChunk(
                id=self._id,
                created=self._created_s,
                model=self._model,
                choices=[choice],
                extra_json=_CHUNK_EXTRA,
            ),
        )

    def _usage_chunk(self) -> pb.ChatChunk:
        return pb.ChatChunk(
            id=self._id,
            created=self._created_s,
            model=self._model,
            usage=self.usage,
            extra_json=_USAGE_CHUNK_EXTRA,
        )


def stream_error(error: Any) -> ProviderError:
    """The error of an `error` event, as the status it would have had says."""
    details = error if isinstance(error, dict) else {"message": error}
    return anthropic_error(STATUS_OF_ERROR.get(text_of(details, "type"), 500), details, {})


def anthropic_error(status: int, details: Mapping[str, Any], headers: Mapping[str, str]) -> ProviderError:
    """An overloaded Anthropic (529) is told as 500: clients of LiteLLM know that."""
    error = error_of(status, details, headers)
    if status == 529:
        error.http_status = 500
    return error


def _object(body: JsonObject, name: str) -> JsonObject:
    value = body.get(name)
    if not isinstance(value, dict):
        raise senseless(f"an event has no {name}")
    return value
