"""What the gateway refuses with 400 before anything else looks at a request: wrong types.

Strict in types, liberal in values: whether a temperature of 7 makes sense is for the provider to
judge. A null is as good as absence for every optional member. Members without a typed field in
chat.v1 are not looked at.
"""

from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject, kind_name
from meshgate_chassis.errors import invalid_field

MODEL_CHARACTERS_MAX: Final = 256
MESSAGES_COUNT_MAX: Final = 10_000

_INT64_MAX: Final = 2**63 - 1

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "parallel_tool_calls": (bool,),
    "max_tokens": (int,),
    "max_completion_tokens": (int,),
    "temperature": (int, float),
    "top_p": (int, float),
    "n": (int,),
    "seed": (int,),
    "stop": (str, list),
    "user": (str,),
    "reasoning_effort": (str,),
    "response_format": (dict,),
    "stream_options": (dict,),
    "stream": (bool,),
    "tools": (list,),
    "tool_choice": (str, dict),
}

_TYPE_NAMES: Final[dict[tuple[type, ...], str]] = {
    (bool,): "a boolean",
    (int,): "an integer",
    (int, float): "a number",
    (str,): "a string",
    (dict,): "an object",
    (list,): "a list",
    (str, list): "a string or a list",
    (str, dict): "a string or an object",
}


def validate_request(body: JsonObject) -> None:
    """Raises `invalid_field` with a path as OpenAI writes it (`messages[0].role`)."""
    _check_model(body.get("model"))
    _check_messages(body.get("messages"))
    for name, types in _TYPES.items():
        if name in body:
            _check_type(name, body[name], types)
    stop = body.get("stop")
    if type(stop) is list:
        for index, item in enumerate(stop):
            _need(f"stop[{index}]", item, (str,))
    for index, tool in enumerate(body.get("tools") or ()):
        _check_tool(f"tools[{index}]", tool)


def _check_model(model: Any) -> None:
    _need("model", model, (str,))
    if not model:
        raise invalid_field("model", "model must not be empty")
    if len(model) > MODEL_CHARACTERS_MAX:
        raise invalid_field("model", f"model is longer than {MODEL_CHARACTERS_MAX} characters")


def _check_messages(messages: Any) -> None:
    _need("messages", messages, (list,))
    if not messages:
        raise invalid_field("messages", "messages must not be empty")
    if len(messages) > MESSAGES_COUNT_MAX:
        raise invalid_field("messages", f"messages has more than {MESSAGES_COUNT_MAX} entries")
    for index, message in enumerate(messages):
        # The ordinary message is decided here without building a path for it.
        if type(message) is dict and len(message) == 2:
            role = message.get("role")
            if type(role) is str and role and type(message.get("content")) is str:
                continue
        _check_message(f"messages[{index}]", message)


def _check_message(path: str, message: Any) -> None:
    _need(path, message, (dict,))
    role = message.get("role")
    _need(f"{path}.role", role, (str,))
    if not role:
        raise invalid_field(f"{path}.role", f"{path}.role must not be empty")
    for name in ("name", "tool_call_id", "reasoning_content", "refusal"):
        _check_type(f"{path}.{name}", message.get(name), (str,))
    content = message.get("content")
    _check_type(f"{path}.content", content, (str, list))
    if type(content) is list:
        for index, part in enumerate(content):
            _check_part(f"{path}.content[{index}]", part)
    calls = message.get("tool_calls")
    _check_type(f"{path}.tool_calls", calls, (list,))
    for index, call in enumerate(calls or ()):
        _check_tool_call(f"{path}.tool_calls[{index}]", call)


def _check_part(path: str, part: Any) -> None:
    _need(path, part, (dict,))
    kind = part.get("type")
    _need(f"{path}.type", kind, (str,))
    if kind == "text":
        _need(f"{path}.text", part.get("text"), (str,))
    elif kind == "image_url":
        image = part.get("image_url")
        # Some clients give the URL itself; the codec keeps it and providers that cannot say so.
        if type(image) is not str:
            _need(f"{path}.image_url", image, (dict,))
            _need(f"{path}.image_url.url", image.get("url"), (str,))
            _check_type(f"{path}.image_url.detail", image.get("detail"), (str,))


def _check_tool_call(path: str, call: Any) -> None:
    _need(path, call, (dict,))
    for name in ("id", "type"):
        _check_type(f"{path}.{name}", call.get(name), (str,))
    function = call.get("function")
    _check_type(f"{path}.function", function, (dict,))
    if function is None:
        return
    _need(f"{path}.function.name", function.get("name"), (str,))
    _check_type(f"{path}.function.arguments", function.get("arguments"), (str,))


def _check_tool(path: str, tool: Any) -> None:
    _need(path, tool, (dict,))
    kind = tool.get("type")
    function = tool.get("function")
    if function is None:
        _need(f"{path}.type", kind, (str,))  # Without it some clients mean a function.
    _check_type(f"{path}.type", kind, (str,))
    if kind not in (None, "function"):
        return
    _need(f"{path}.function", function, (dict,))
    name = function.get("name")
    _need(f"{path}.function.name", name, (str,))
    if not name:
        raise invalid_field(f"{path}.function.name", f"{path}.function.name must not be empty")
    _check_type(f"{path}.function.description", function.get("description"), (str,))
    _check_type(f"{path}.function.parameters", function.get("parameters"), (dict,))
    _check_type(f"{path}.function.strict", function.get("strict"), (bool,))


def _need(path: str, value: Any, types: tuple[type, ...]) -> None:
    """As `_check_type`, and null or absence is refused too."""
    if value is None:
        raise invalid_field(path, f"{path} is required and must be {_TYPE_NAMES[types]}")
    _check_type(path, value, types)


def _check_type(path: str, value: Any, types: tuple[type, ...]) -> None:
    kind = type(value)  # Exact: a boolean is no integer here.
    if value is not None and kind not in types:
        raise invalid_field(path, f"{path} must be {_TYPE_NAMES[types]}, not {kind_name(value)}")
    if kind is int and not -_INT64_MAX - 1 <= value <= _INT64_MAX:
        raise invalid_field(path, f"{path} does not fit 64 bits")
