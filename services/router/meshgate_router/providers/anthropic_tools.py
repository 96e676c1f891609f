"""Tools, the choice among them and structured output -> Anthropic's: pure, JSON in and out.

A JSON schema for the answer becomes `output_config.format`. Where a model or a schema is not fit for that, it
becomes a tool that we add and that the model must call; its arguments are the answer
(anthropic_response.py and anthropic_stream.py turn them back into content).
"""

from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.anthropic_models import knows_json_schemas
from meshgate_router.providers.anthropic_schema import native_schema
from meshgate_router.providers.base import unfit
from meshgate_router.providers.request_body import json_schema

JSON_TOOL: Final = "json_tool_call"
_TOOL_MEMBERS: Final = frozenset({"type", "function", "name", "description", "parameters", "strict"})
_EMPTY_SCHEMA: Final = {"type": "object", "properties": {}}


def set_tools(body: JsonObject, source: JsonObject) -> bool:
    """Sets `tools` and `tool_choice`; True: the answer will be in JSON_TOOL's arguments."""
    tools = [_tool(tool, f"tools[{index}]") for index, tool in enumerate(source.get("tools") or ())]
    choice = _choice(source.get("tool_choice"))
    described = json_schema(source)
    schema = None if described is None or _set_format(body, described) else _json_tool(described)
    if schema is not None:
        choice = _choice_with_json_tool(choice, has_tools=bool(tools), thinks=_thinks(body))
        tools.append(schema)
    if not tools:
        return False
    body["tools"] = tools
    if source.get("parallel_tool_calls") is False:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    if choice is not None:
        body["tool_choice"] = choice
    return schema is not None


def _tool(tool: Any, path: str) -> JsonObject:
    if not isinstance(tool, dict):
        raise unfit(path, "must be an object")
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict):
        return tool  # One of Anthropic's own tools.
    translated: JsonObject = {
        "name": function.get("name"),
        "input_schema": _input_schema(function.get("parameters")),
    }
    if function.get("description") is not None:
        translated["description"] = function["description"]
    for owner in (function, tool):  # Anthropic's own members (cache_control, defer_loading, ...) as they are.
        translated |= {name: value for name, value in owner.items() if name not in _TOOL_MEMBERS}
    return translated


def _input_schema(parameters: Any) -> JsonObject:
    if not isinstance(parameters, dict) or not parameters:
        return dict(_EMPTY_SCHEMA)
    return parameters if "type" in parameters else {"type": "object", **parameters}


def _choice(choice: Any) -> JsonObject | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        modes = {"auto": "auto", "required": "any", "any": "any", "none": "none"}
        if choice not in modes:
            raise unfit("tool_choice", "must be auto, required, none or a function")
        return {"type": modes[choice]}
    if isinstance(choice, dict):
        function = choice.get("function")
        if choice.get("type") == "function" and isinstance(function, dict):
            return {"type": "tool", "name": function.get("name")}
        if choice.get("type") in ("auto", "any", "none", "tool"):
            return dict(choice)  # Anthropic's own form.
    raise unfit("tool_choice", "has no equivalent at Anthropic")


def _set_format(body: JsonObject, described: JsonObject) -> bool:
    """False: it cannot be said in this way."""
    schema = native_schema(described["schema"]) if knows_json_schemas(body["model"]) else None
    if schema is None:
        return False
    given = body.get("output_config")
    body["output_config"] = {
        **(given if isinstance(given, dict) else {}),
        "format": {"type": "json_schema", "schema": schema},
    }
    return True


def _json_tool(described: JsonObject) -> JsonObject:
    tool: JsonObject = {"name": JSON_TOOL, "input_schema": _input_schema(described["schema"])}
    tool["description"] = described.get("description") or "Give the answer by calling this tool."
    return tool


def _choice_with_json_tool(choice: JsonObject | None, *, has_tools: bool, thinks: bool) -> JsonObject:
    if has_tools and choice is not None and choice["type"] in ("any", "tool"):
        return choice
    if thinks:
        return {"type": "auto"}  # Anthropic refuses to force a tool while the model thinks
    if has_tools and (choice is None or choice["type"] == "auto"):
        return {"type": "any"}
    return {"type": "tool", "name": JSON_TOOL}


def _thinks(body: JsonObject) -> bool:
    thinking = body.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") != "disabled"
