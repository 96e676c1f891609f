"""One turn of a conversation: OpenAI's message object <-> Message, losing nothing."""

from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject, dumps, loads, loads_object
from meshgate_chassis.chat.shape import Shape, merged
from meshgate_protos.chat.v1 import chat_pb2 as pb


def message_from_json(body: JsonObject) -> pb.Message:
    """One message of a request or a response. Never refuses a shape."""
    message = pb.Message()
    MESSAGE.fill(message, body)
    return message


def message_to_json(message: pb.Message) -> JsonObject:
    """The inverse of `message_from_json`."""
    return MESSAGE.write(message)


def _read_content(message: Any, value: Any) -> bool:
    if type(value) is str:
        message.text = value
        return True
    if type(value) is not list:
        return False
    message.parts.SetInParent()
    parts = message.parts.parts
    for item in value:
        _fill_part(parts.add(), item)
    return True


def _write_text(body: JsonObject, value: Any) -> None:
    body["content"] = value


def _write_parts(body: JsonObject, value: Any) -> None:
    body["content"] = [_write_part(part) for part in value.parts]


def _fill_part(part: pb.ContentPart, value: Any) -> None:
    if type(value) is dict:
        kind = value.get("type")
        if kind == "text" and type(value.get("text")) is str:
            part.text.text = value["text"]
            if len(value) > 2:
                part.text.extra_json = dumps(_without(value, "type", "text"))
            return
        if kind == "image_url":
            image = value.get("image_url")
            if type(image) is dict and type(image.get("url")) is str:
                _fill_image(part.image_url, value, image)
                return
    part.raw_json = dumps(value)


def _fill_image(part: pb.ImageUrlPart, value: JsonObject, image: JsonObject) -> None:
    part.url = image["url"]
    rest = _without(image, "url")
    if type(rest.get("detail")) is str:
        part.detail = rest.pop("detail")
    if rest:
        part.image_url_extra_json = dumps(rest)
    if len(value) > 2:
        part.extra_json = dumps(_without(value, "type", "image_url"))


def _write_part(part: pb.ContentPart) -> Any:
    kind = part.WhichOneof("part")
    if kind == "text":
        text = part.text
        return _with_extra({"type": "text", "text": text.text}, text.extra_json)
    if kind == "image_url":
        image = part.image_url
        url: JsonObject = {"url": image.url}
        if image.HasField("detail"):
            url["detail"] = image.detail
        url = _with_extra(url, image.image_url_extra_json)
        return _with_extra({"type": "image_url", "image_url": url}, image.extra_json)
    return loads(part.raw_json)


def _with_extra(body: JsonObject, extra_json: bytes) -> JsonObject:
    return merged(body, loads_object(extra_json)) if extra_json else body


def _without(body: JsonObject, *names: str) -> JsonObject:
    return {name: value for name, value in body.items() if name not in names}


FUNCTION_CALL: Final = Shape(scalars={"name": str, "arguments": str})

TOOL_CALL: Final = Shape(scalars={"id": str, "type": str}).holding(objects={"function": FUNCTION_CALL})

MESSAGE: Final = Shape(
    scalars={
        "role": str,
        "tool_call_id": str,
        "name": str,
        "reasoning_content": str,
        "refusal": str,
    },
    zero_is_absent=frozenset({"role"}),
    readers={"content": _read_content},
    writers={"text": _write_text, "parts": _write_parts},
).holding(lists={"tool_calls": TOOL_CALL})
