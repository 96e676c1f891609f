"""Recorded Anthropic requests, said in OpenAI's shape: the way back that the router does not have.

Only for tests, and only for what OpenAI's shape can say; `None` for the rest.
"""

import json
from typing import Any

JsonObject = dict[str, Any]
PASSED = (
    "temperature",
    "top_p",
    "top_k",
    "thinking",
    "stream",
    "max_tokens",
    "cache_control",
    "output_config",
)
TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def openai_request(request: JsonObject) -> JsonObject | None:
    """None: something in the request has no equivalent."""
    messages: list[JsonObject] = []
    system = request.get("system")
    if system:
        messages.append({"role": "system", "content": system})
    for message in request["messages"]:
        turned = _messages(message)
        if turned is None:
            return None
        messages += turned
    body: JsonObject = {"model": request["model"], "messages": messages}
    body |= {name: request[name] for name in PASSED if name in request}
    body |= _tools(request)
    if "stop_sequences" in request:
        body["stop"] = request["stop_sequences"]
    left = (
        set(request) - set(PASSED) - {"model", "messages", "system", "tools", "tool_choice", "stop_sequences"}
    )
    return None if left else body


def _tools(request: JsonObject) -> JsonObject:
    body: JsonObject = {}
    if request.get("tools"):
        body["tools"] = [_tool(tool) for tool in request["tools"]]
    choice = request.get("tool_choice")
    if choice:
        function = {"type": "function", "function": {"name": choice.get("name")}}
        body["tool_choice"] = function if choice["type"] == "tool" else TOOL_CHOICES[choice["type"]]
        if choice.get("disable_parallel_tool_use"):
            body["parallel_tool_calls"] = False
    return body


def _tool(tool: JsonObject) -> JsonObject:
    if "input_schema" not in tool:
        return tool
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    if "description" in tool:
        function["description"] = tool["description"]
    turned: JsonObject = {"type": "function", "function": function}
    known = ("name", "input_schema", "description", "type", "strict")
    return turned | {name: value for name, value in tool.items() if name not in known}


def _messages(message: JsonObject) -> list[JsonObject] | None:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    kinds = {block["type"] for block in blocks}
    if message["role"] == "assistant" and kinds <= {"text", "tool_use", "thinking", "redacted_thinking"}:
        return [_assistant(blocks)]
    if message["role"] == "user" and kinds <= {"text", "image", "tool_result"}:
        return _user(blocks)
    return None


def _assistant(blocks: list[JsonObject]) -> JsonObject:
    texts = [block for block in blocks if block["type"] == "text"]
    calls = [
        {
            "id": block["id"],
            "type": "function",
            "function": {"name": block["name"], "arguments": json.dumps(block["input"])},
        }
        for block in blocks
        if block["type"] == "tool_use"
    ]
    thoughts = [block for block in blocks if "thinking" in block["type"]]
    message: JsonObject = {"role": "assistant", "content": texts or None}
    if calls:
        message["tool_calls"] = calls
    if thoughts:
        message["thinking_blocks"] = thoughts
    return message


def _user(blocks: list[JsonObject]) -> list[JsonObject] | None:
    messages = []
    parts = []
    for block in blocks:
        if block["type"] == "tool_result":
            if _inner_kinds(block) - {"text", "image"}:
                return None
            content = block["content"]
            if isinstance(content, list):
                content = [_part(part) for part in content]
            told = {"role": "tool", "tool_call_id": block["tool_use_id"], "content": content}
            if block.get("is_error"):
                told["is_error"] = True
            messages.append(
                told | ({"cache_control": block["cache_control"]} if "cache_control" in block else {})
            )
        else:
            parts.append(_part(block))
    return [*messages, {"role": "user", "content": parts}] if parts else messages


def _inner_kinds(block: JsonObject) -> set[str]:
    content = block.get("content")
    return {part["type"] for part in content} if isinstance(content, list) else set()


def _part(block: JsonObject) -> JsonObject:
    source = block.get("source", {})
    if block["type"] != "image" or source["type"] == "file":
        return block  # Anthropic's own kinds of parts go through as they are.
    url = source.get("url") or f"data:{source['media_type']};base64,{source['data']}"
    mark = {"cache_control": block["cache_control"]} if "cache_control" in block else {}
    return {"type": "image_url", "image_url": {"url": url}, **mark}
