"""What the router's answer to a recorded exchange says, in the terms of the independent reading."""

import json
from typing import Any

from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from tests.support.cassettes import Choice, Reading


def said(answer: dict[str, Any], usage: chat_pb.Usage | None) -> Reading:
    """`answer`: in OpenAI's shape."""
    choices = {}
    for item in answer["choices"]:
        message = item["message"]
        choice = choices[item["index"]] = Choice(finish_reason=item.get("finish_reason"))
        choice.text = message.get("content") or ""
        choice.reasoning = message.get("reasoning_content") or ""
        for call in message.get("tool_calls") or []:
            function = call["function"]
            arguments = json.loads(function["arguments"])
            choice.tool_calls.append({"id": call.get("id"), "name": function["name"], "arguments": arguments})
    if usage is None:
        return Reading(choices, None)
    cached = usage.prompt_tokens_details.cached_tokens
    return Reading(choices, (usage.prompt_tokens, usage.completion_tokens, cached))


def without_made_ids(expected: Reading, found: Reading) -> Reading:
    """Some providers give calls no ids; the router makes them, and no two are the same."""
    made = []
    for index, choice in expected.choices.items():
        for told, call in zip(choice.tool_calls, found.choices[index].tool_calls, strict=False):
            if told["id"] is None and str(call["id"]).startswith("call_"):
                made.append(call["id"])
                call["id"] = None
    assert len(made) == len(set(made))
    return found
