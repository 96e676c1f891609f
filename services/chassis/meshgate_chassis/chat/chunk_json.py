"""One event of a streamed answer: OpenAI's chat.completion.chunk <-> ChatChunk, losing nothing."""

from typing import Final

from meshgate_chassis.chat.json import JsonObject, loads_object
from meshgate_chassis.chat.message_json import FUNCTION_CALL
from meshgate_chassis.chat.response_json import envelope
from meshgate_chassis.chat.shape import Shape, merged
from meshgate_protos.chat.v1 import chat_pb2 as pb


def chunk_from_json(body: JsonObject) -> pb.ChatChunk:
    """Never refuses a shape."""
    chunk = pb.ChatChunk()
    _CHUNK.fill(chunk, body)
    return chunk


def chunk_to_json(chunk: pb.ChatChunk) -> JsonObject:
    """The inverse of `chunk_from_json`."""
    choices = chunk.choices
    if len(choices) != 1 or chunk.HasField("usage"):
        return _CHUNK.write(chunk)
    choice = choices[0]
    if not choice.HasField("delta") or choice.delta.tool_calls:
        return _CHUNK.write(chunk)
    return _text_chunk(chunk, choice)


def _text_chunk(chunk: pb.ChatChunk, choice: pb.ChoiceDelta) -> JsonObject:
    """What nearly every chunk is, one choice with a piece of text, by hand: as the table says, in a third of
    its time."""
    delta = choice.delta
    told: JsonObject = {"role": delta.role} if delta.HasField("role") else {}
    if delta.HasField("content"):
        told["content"] = delta.content
    if delta.HasField("reasoning_content"):
        told["reasoning_content"] = delta.reasoning_content
    if delta.HasField("refusal"):
        told["refusal"] = delta.refusal
    if delta.extra_json:
        told = merged(told, loads_object(delta.extra_json))
    one: JsonObject = {"index": choice.index} if choice.HasField("index") else {}
    one["delta"] = told
    if choice.HasField("finish_reason"):
        one["finish_reason"] = choice.finish_reason
    if choice.extra_json:
        one = merged(one, loads_object(choice.extra_json))
    body: JsonObject = {"id": chunk.id} if chunk.id else {}
    if chunk.created:
        body["created"] = chunk.created
    if chunk.model:
        body["model"] = chunk.model
    body["choices"] = [one]
    return merged(body, loads_object(chunk.extra_json)) if chunk.extra_json else body


_TOOL_CALL: Final = Shape(scalars={"index": int, "id": str, "type": str}).holding(
    objects={"function": FUNCTION_CALL}
)

_DELTA: Final = Shape(
    scalars={"role": str, "content": str, "reasoning_content": str, "refusal": str},
).holding(lists={"tool_calls": _TOOL_CALL})

_CHOICE: Final = Shape(scalars={"index": int, "finish_reason": str}).holding(objects={"delta": _DELTA})

_CHUNK: Final = envelope(_CHOICE)
