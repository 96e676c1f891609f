"""Tools and the choice among them: OpenAI's JSON <-> Tool and ToolChoice, losing nothing."""

from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject, dumps, loads, loads_object
from meshgate_chassis.chat.shape import Shape, merged, read_raw_object, write_raw_object
from meshgate_protos.chat.v1 import chat_pb2 as pb


def read_tools(request: Any, value: Any) -> bool:
    """The `tools` member. An empty list does not fit: it would be lost."""
    if type(value) is not list or not value:
        return False
    for item in value:
        _fill_tool(request.tools.add(), item)
    return True


def write_tools(body: JsonObject, value: Any) -> None:
    """The inverse of `read_tools`."""
    body["tools"] = [_write_tool(tool) for tool in value]


def read_tool_choice(request: Any, value: Any) -> bool:
    """The `tool_choice` member: a mode, one function, or anything else but null as raw JSON."""
    if value is None:
        return False
    choice = request.tool_choice
    if type(value) is str:
        choice.mode = value
    elif (name := _chosen_function(value)) is not None:
        choice.function = name
    else:
        choice.raw_json = dumps(value)
    return True


def write_tool_choice(body: JsonObject, choice: Any) -> None:
    """The inverse of `read_tool_choice`."""
    kind = choice.WhichOneof("choice")
    if kind == "mode":
        body["tool_choice"] = choice.mode
    elif kind == "function":
        body["tool_choice"] = {"type": "function", "function": {"name": choice.function}}
    elif kind == "raw_json":
        body["tool_choice"] = loads(choice.raw_json)


def _chosen_function(value: Any) -> str | None:
    """The name in exactly {"type": "function", "function": {"name": ...}}, else None."""
    if type(value) is not dict or len(value) != 2 or value.get("type") != "function":
        return None
    function = value.get("function")
    if type(function) is not dict or len(function) != 1:
        return None
    name = function.get("name")
    return name if type(name) is str else None


def _fill_tool(tool: pb.Tool, value: Any) -> None:
    if type(value) is dict and value.get("type") == "function":
        function = value.get("function")
        if type(function) is dict and type(function.get("name")) is str and function["name"]:
            _FUNCTION.fill(tool.function, function)
            if len(value) > 2:
                rest = {k: v for k, v in value.items() if k not in {"type", "function"}}
                tool.function.extra_json = dumps(rest)
            return
    tool.raw_json = dumps(value)


def _write_tool(tool: pb.Tool) -> Any:
    if not tool.HasField("function"):
        return loads(tool.raw_json)
    body: JsonObject = {"type": "function", "function": _FUNCTION.write(tool.function)}
    extra_json = tool.function.extra_json
    return merged(body, loads_object(extra_json)) if extra_json else body


def _write_nothing(body: JsonObject, value: Any) -> None:
    """The field belongs to the tool around the function."""


_FUNCTION: Final = Shape(
    scalars={"name": str, "description": str, "strict": bool},
    readers={"parameters": read_raw_object("parameters_json")},
    writers={"parameters_json": write_raw_object("parameters"), "extra_json": _write_nothing},
    extra="function_extra_json",
)
