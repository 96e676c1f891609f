"""Turns a whole response into the chunks a live stream would have brought.

Invariant: ChunkAccumulator, fed with `chunks_of(response)`, gives the response back, less its usage,
for every response of the usual shape: `object` is chat.completion, every choice has an index of its
own, a message with a role and a content, and a finish reason.
"""

from collections.abc import Iterator
from typing import Final

from meshgate_chassis.chat.json import JsonObject, dumps, loads_object
from meshgate_chassis.chat.message_json import message_to_json
from meshgate_protos.chat.v1 import chat_pb2 as pb

TEXT_CHARACTERS_MAX: Final = 256

# Members that a live stream repeats in every chunk.
_REPEATED: Final = ("system_fingerprint", "service_tier")


def chunks_of(
    response: pb.ChatResponse, text_characters_max: int = TEXT_CHARACTERS_MAX
) -> Iterator[pb.ChatChunk]:
    """Role, content, tool calls and finish of each choice; no usage (see `usage_chunk`).

    Texts are cut into pieces of at most `text_characters_max` code points, except a text with
    logprobs: those belong to the chunk that has their tokens.
    """
    extra_once, head = _heads(response)
    for position, choice in enumerate(response.choices):
        index = choice.index if choice.HasField("index") else position
        for delta in _deltas(choice, text_characters_max):
            delta.index = index
            chunk = pb.ChatChunk()
            chunk.CopyFrom(head)
            chunk.choices.append(delta)
            if extra_once:
                chunk.extra_json, extra_once = extra_once, b""
            yield chunk


def usage_chunk(response: pb.ChatResponse) -> pb.ChatChunk:
    """The last chunk of a stream with `include_usage`: no choices, the usage if there is one."""
    _, chunk = _heads(response)
    chunk.extra_json = dumps({**loads_object(chunk.extra_json), "choices": []})
    if response.HasField("usage"):
        chunk.usage.CopyFrom(response.usage)
    return chunk


def _heads(response: pb.ChatResponse) -> tuple[bytes, pb.ChatChunk]:
    """The extra members of the first chunk, and what every chunk has."""
    extra = loads_object(response.extra_json) if response.extra_json else {}
    for name in ("choices", "usage"):
        extra.pop(name, None)
    extra["object"] = "chat.completion.chunk"
    repeated = {name: extra[name] for name in ("object", *_REPEATED) if name in extra}
    head = pb.ChatChunk(
        id=response.id,
        created=response.created,
        model=response.model,
        extra_json=dumps(repeated),
    )
    return dumps(extra), head


def _deltas(choice: pb.Choice, text_characters_max: int) -> Iterator[pb.ChoiceDelta]:
    extra = loads_object(choice.extra_json) if choice.extra_json else {}
    open_extra: JsonObject = {"finish_reason": None}
    if "logprobs" in extra:
        open_extra["logprobs"] = None
    open_extra_json = dumps(open_extra)
    message = choice.message
    yield pb.ChoiceDelta(delta=_first_delta(message), extra_json=open_extra_json)
    for piece in _pieces(message.reasoning_content, text_characters_max):
        delta = pb.MessageDelta(reasoning_content=piece)
        yield pb.ChoiceDelta(delta=delta, extra_json=open_extra_json)
    if message.text and extra.get("logprobs") is not None:
        with_logprobs = dumps({"logprobs": extra.pop("logprobs"), "finish_reason": None})
        delta = pb.MessageDelta(content=message.text)
        yield pb.ChoiceDelta(delta=delta, extra_json=with_logprobs)
    else:
        for piece in _pieces(message.text, text_characters_max):
            delta = pb.MessageDelta(content=piece)
            yield pb.ChoiceDelta(delta=delta, extra_json=open_extra_json)
    for piece in _pieces(message.refusal, text_characters_max):
        delta = pb.MessageDelta(refusal=piece)
        yield pb.ChoiceDelta(delta=delta, extra_json=open_extra_json)
    for fragment in _fragments(message, text_characters_max):
        delta = pb.MessageDelta(tool_calls=[fragment])
        yield pb.ChoiceDelta(delta=delta, extra_json=open_extra_json)
    last = pb.ChoiceDelta(delta=pb.MessageDelta(), extra_json=dumps(extra) if extra else b"")
    if choice.HasField("finish_reason"):
        last.finish_reason = choice.finish_reason
    yield last


def _first_delta(message: pb.Message) -> pb.MessageDelta:
    """The role, an empty piece of each text, and all that is not sent in pieces."""
    delta = pb.MessageDelta(role=message.role or "assistant")
    rest = message_to_json(message)
    rest.pop("role", None)
    if message.tool_calls:
        del rest["tool_calls"]
    for name in ("content", "reasoning_content", "refusal"):
        if type(rest.get(name)) is str:
            setattr(delta, name, "")
            del rest[name]
    if rest:
        delta.extra_json = dumps(rest)
    return delta


def _fragments(message: pb.Message, text_characters_max: int) -> Iterator[pb.ToolCallDelta]:
    """Of each call first its labels, then the pieces of its arguments."""
    for index, call in enumerate(message.tool_calls):
        first = pb.ToolCallDelta(index=index)
        if call.HasField("id"):
            first.id = call.id
        if call.HasField("type"):
            first.type = call.type
        if call.extra_json:
            extra = loads_object(call.extra_json)
            extra.pop("index", None)
            first.extra_json = dumps(extra) if extra else b""
        if call.HasField("function"):
            first.function.CopyFrom(call.function)
            if call.function.HasField("arguments"):
                first.function.arguments = ""
        yield first
        for piece in _pieces(call.function.arguments, text_characters_max):
            yield pb.ToolCallDelta(index=index, function=pb.FunctionCall(arguments=piece))


def _pieces(text: str, characters_max: int) -> Iterator[str]:
    for start in range(0, len(text), characters_max):
        yield text[start : start + characters_max]
