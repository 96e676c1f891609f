"""Tools and the choice among them -> Gemini's: pure, JSON in and out."""

from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.base import unfit

_MODES: Final = {"auto": "AUTO", "required": "ANY", "any": "ANY", "none": "NONE", "validated": "VALIDATED"}


def set_tools(body: JsonObject, source: JsonObject) -> None:
    """Sets `tools` and `toolConfig`. Raises ProviderError FIELD_INVALID."""
    functions: list[JsonObject] = []
    own: list[JsonObject] = []
    for index, tool in enumerate(source.get("tools") or ()):
        path = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise unfit(path, "must be an object")
        if tool.get("type") == "function":
            functions.append(_function(tool.get("function"), path))
        elif "type" not in tool:
            own.append(tool)  # One of Gemini's: {"googleSearch": {}}, {"codeExecution": {}}, ...
        else:
            raise unfit(path, f"is of the type {tool['type']!r}, which Gemini has nothing like")
    if source.get("web_search_options") is not None:
        own.append({"googleSearch": {}})
    tools = [{"functionDeclarations": functions}, *own] if functions else own
    if not tools:
        return
    body["tools"] = tools
    calling = _calling(source.get("tool_choice"))
    if calling is not None and functions:
        body["toolConfig"] = {**_object(body.get("toolConfig")), "functionCallingConfig": calling}


def _function(function: Any, path: str) -> JsonObject:
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise unfit(f"{path}.function.name", "is required")
    declared: JsonObject = {"name": function["name"]}
    if function.get("description") is not None:
        declared["description"] = function["description"]
    parameters = function.get("parameters")
    if isinstance(parameters, dict) and parameters:
        declared["parametersJsonSchema"] = (
            parameters if "type" in parameters else {"type": "object", **parameters}
        )
    return declared


def _calling(choice: Any) -> JsonObject | None:
    if choice is None:
        return None
    if isinstance(choice, str) and choice in _MODES:
        return {"mode": _MODES[choice]}
    if isinstance(choice, dict):
        function, allowed = choice.get("function"), choice.get("allowed_tools")
        if choice.get("type") == "function" and isinstance(function, dict):
            return {"mode": "ANY", "allowedFunctionNames": [function.get("name")]}
        if choice.get("type") == "allowed_tools" and isinstance(allowed, dict):
            return _allowed(allowed)
    raise unfit("tool_choice", "must be auto, required, none, a function or allowed_tools")


def _allowed(allowed: JsonObject) -> JsonObject:
    names = [_object(tool.get("function")).get("name") for tool in map(_object, allowed.get("tools") or ())]
    # Without a mode that forces a call, Gemini takes names with VALIDATED only.
    mode = "ANY" if allowed.get("mode") == "required" else "VALIDATED"
    return {"mode": mode, "allowedFunctionNames": [name for name in names if isinstance(name, str)]}


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}
