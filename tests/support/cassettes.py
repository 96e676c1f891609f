"""Recorded provider traffic, and an independent reading of it.

The readings here are written apart from the router's translations, and as plainly as possible: they are
what the router's answers are compared with. Nothing of meshgate is imported.
"""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.shared_data import shared_data

PROVIDERS = (
    "openai",
    "anthropic",
    "gemini",
    "groq",
    "mistral",
    "ollama",
    "azure",
    "deepseek",
    "openrouter",
)

# Recorded paths that are no completions, by their ends, and why the router does not serve them as such.
UNSUPPORTED_PATHS = {
    "/v1/responses": "OpenAI's Responses API: another protocol with state at the provider; chat only so far",
    "/v1/embeddings": "embeddings: their translations have tests of their own (test_embeddings.py)",
    ":batchEmbedContents": "as above",
    "/v1/messages/count_tokens": "Anthropic's token counting: no OpenAI endpoint asks for it",
    ":countTokens": "Gemini's token counting: as above",
}

# The provider in config.yaml that answers exchanges of a path; all others have the name of their file.
PROVIDER_OF_PATH = {"/v1/completions": "text-completion-openai"}

# Parts of Gemini's answers that OpenAI's shape cannot hold; the rest of such answers is still checked.
UNSUPPORTED_GEMINI_PARTS = ("toolCall", "toolResponse", "executableCode", "codeExecutionResult")

# Parts of Anthropic requests that OpenAI's shape cannot say. Their answers are still checked, as far as
# OpenAI's shape can hold them: text, own tool calls, finish reason and usage.
UNSUPPORTED_REQUEST_PARTS = {
    "system inside messages": "a system message keeps no place of its own among Anthropic's turns",
    "tool_addition": "adds tools in the middle of a conversation; OpenAI has nothing like it",
    "server_tool_use": "blocks of Anthropic's own tools (search, code execution) fit only its own shape",
    "tool_search_tool_result": "as server_tool_use",
    "bash_code_execution_tool_result": "as server_tool_use",
    "container_upload": "files for Anthropic's code execution",
    "document": "file ids of Anthropic's file store; documents as base64 and by URL are translated",
    "tool_reference": "results of Anthropic's own tool search",
}


@dataclass(frozen=True)
class Exchange:
    """One recorded call. `raw`: the response's body, as bytes. `stream`: it is a text/event-stream."""

    provider: str
    number: int
    path: str
    request: dict[str, Any]
    status: int
    headers: dict[str, str]
    raw: bytes
    stream: bool

    def __str__(self) -> str:
        return f"{self.provider}-{self.number}"

    @property
    def answers(self) -> bool:
        """False: it is an error, under whatever status. Azure's recorder lost the status of one."""
        return self.status == 200 and (self.stream or "error" not in json.loads(self.raw))

    @property
    def prefix(self) -> str:
        """The provider's name in config.yaml."""
        return PROVIDER_OF_PATH.get(self.path, self.provider)

    @property
    def model(self) -> str:
        """The model's name at the provider; Gemini has it in the path."""
        found = re.search(r"/models/([^:/]+):", self.path)
        return found[1] if found else self.request["model"]

    @property
    def base_end(self) -> str:
        """What an api_base must end in: Ollama has a second, OpenAI-compatible API."""
        return "/v1" if self.provider == "ollama" and self.path.startswith("/v1/") else ""


@dataclass
class Choice:
    """What one choice of an answer says."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)  # id, name, arguments (parsed)
    finish_reason: str | None = None


@dataclass
class Reading:
    """What an answer says. `usage`: (prompt, completion, cached) tokens, or None."""

    choices: dict[int, Choice]
    usage: tuple[int, int, int] | None


def all_exchanges(provider: str) -> Iterator[Exchange]:
    """Every recorded exchange, in the order of the file."""
    with gzip.open(shared_data(f"cassettes/{provider}.jsonl.gz")) as lines:
        for number, line in enumerate(lines):
            item = json.loads(line)
            response = item["response"]
            stream = isinstance(response, str)
            yield Exchange(
                provider=provider,
                number=number,
                path=item["path"].partition("?")[0].partition("#")[0],
                request=item["request"],
                status=item["status"],
                headers=item["response_headers"],
                raw=response.encode() if stream else json.dumps(response).encode(),
                stream=stream,
            )


def chat_exchanges(provider: str) -> list[Exchange]:
    """Those of a supported kind."""
    return [item for item in all_exchanges(provider) if not is_unsupported(item.path)]


def is_unsupported(path: str) -> bool:
    """Whether a path is in the table above."""
    return path.endswith(tuple(UNSUPPORTED_PATHS))


def events(raw: bytes) -> Iterator[dict[str, Any]]:
    """The JSON of each data line, as the HTML standard reads lines; [DONE] is none."""
    for line in raw.decode().splitlines():
        if line.startswith("data:") and line.removeprefix("data:").strip() != "[DONE]":
            yield json.loads(line.removeprefix("data:"))


def reading(exchange: Exchange) -> Reading:
    """What the recorded answer says, in OpenAI's terms."""
    if exchange.provider == "anthropic":
        return _anthropic_stream(exchange.raw) if exchange.stream else _anthropic(json.loads(exchange.raw))
    if exchange.provider == "gemini":
        return _gemini(list(events(exchange.raw)) if exchange.stream else [json.loads(exchange.raw)])
    if exchange.provider == "ollama" and not exchange.base_end:
        return _ollama([json.loads(line) for line in exchange.raw.splitlines()])
    if exchange.path.endswith("/v1/completions"):
        return _texts(list(events(exchange.raw)) if exchange.stream else [json.loads(exchange.raw)])
    return _openai_stream(exchange.raw) if exchange.stream else _openai(json.loads(exchange.raw))


def _openai(body: dict[str, Any]) -> Reading:
    choices = {}
    for item in body["choices"]:
        message = item["message"]
        choice = choices[item["index"]] = Choice(finish_reason=item["finish_reason"])
        _add_content(choice, message)
        for call in message.get("tool_calls") or []:
            choice.tool_calls.append(
                _call(call.get("id"), call["function"]["name"], call["function"]["arguments"])
            )
    return Reading(choices, _openai_usage(body.get("usage")))


def _openai_stream(raw: bytes) -> Reading:
    choices: dict[int, Choice] = {}
    calls: dict[tuple[int, int], dict[str, Any]] = {}
    usage = None
    for event in events(raw):
        usage = event.get("usage") or (event.get("x_groq") or {}).get("usage") or usage
        for item in event.get("choices", []):
            choice = choices.setdefault(item["index"], Choice())
            choice.finish_reason = item.get("finish_reason") or choice.finish_reason
            _add_content(choice, item["delta"])
            for part in item["delta"].get("tool_calls") or []:
                call = calls.setdefault(
                    (item["index"], part.get("index", 0)), {"id": None, "name": "", "text": ""}
                )
                call["id"] = part.get("id") or call["id"]
                call["name"] += part["function"].get("name") or ""
                call["text"] += part["function"].get("arguments") or ""
    for (index, _), call in sorted(calls.items()):
        choices[index].tool_calls.append(_call(call["id"], call["name"], call["text"]))
    return Reading(choices, _openai_usage(usage))


def _add_content(choice: Choice, message: dict[str, Any]) -> None:
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            if part["type"] == "thinking":
                choice.reasoning += "".join(item["text"] for item in part["thinking"])
            else:
                choice.text += part["text"]
    else:
        choice.text += content or ""
    choice.reasoning += message.get("reasoning") or message.get("reasoning_content") or ""


def _openai_usage(usage: dict[str, Any] | None) -> tuple[int, int, int] | None:
    if not usage:
        return None
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return usage["prompt_tokens"], usage["completion_tokens"], cached


STOP_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "refusal": "content_filter",
}


def _anthropic(body: dict[str, Any]) -> Reading:
    choice = Choice(finish_reason=STOP_REASONS[body["stop_reason"]])
    for block in body["content"]:
        if block["type"] == "text":
            choice.text += block["text"]
        elif block["type"] == "thinking":
            choice.reasoning += block["thinking"]
        elif block["type"] == "tool_use":
            choice.tool_calls.append({"id": block["id"], "name": block["name"], "arguments": block["input"]})
    return Reading({0: choice}, _anthropic_usage(body["usage"]))


def _anthropic_stream(raw: bytes) -> Reading:
    choice = Choice()
    counts: dict[str, Any] = {}
    inputs: dict[int, str] = {}
    for event in events(raw):
        if event["type"] == "message_start":
            counts = dict(event["message"]["usage"])
        elif event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use":
            inputs[event["index"]] = ""
            block = event["content_block"]
            choice.tool_calls.append({"id": block["id"], "name": block["name"], "arguments": event["index"]})
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            choice.text += delta.get("text", "")
            choice.reasoning += delta.get("thinking", "")
            if event["index"] in inputs:
                inputs[event["index"]] += delta.get("partial_json", "")
        elif event["type"] == "message_delta":
            choice.finish_reason = STOP_REASONS[event["delta"]["stop_reason"]]
            counts.update(event["usage"])
    for call in choice.tool_calls:
        call["arguments"] = json.loads(inputs[call["arguments"]] or "{}")
    return Reading({0: choice}, _anthropic_usage(counts))


def _anthropic_usage(usage: dict[str, Any]) -> tuple[int, int, int]:
    read = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    return usage["input_tokens"] + read + written, usage["output_tokens"], read


GEMINI_REASONS = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}


def _gemini(pieces: list[dict[str, Any]]) -> Reading:
    """One piece is a whole answer; the events of a stream are pieces of the same kind."""
    choices: dict[int, Choice] = {}
    usage = None
    for piece in pieces:
        usage = piece.get("usageMetadata") or usage
        for candidate in piece["candidates"]:
            choice = choices.setdefault(candidate.get("index", 0), Choice())
            for part in candidate.get("content", {}).get("parts", []):
                if part.get("thought"):
                    choice.reasoning += part["text"]
                elif "text" in part:
                    choice.text += part["text"]
                elif "functionCall" in part:
                    call = part["functionCall"]
                    choice.tool_calls.append(
                        {"id": call.get("id"), "name": call["name"], "arguments": call.get("args", {})}
                    )
            if "finishReason" in candidate:
                said = GEMINI_REASONS[candidate["finishReason"]]
                choice.finish_reason = "tool_calls" if choice.tool_calls else said
    if usage is None:
        return Reading(choices, None)
    answered = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
    return Reading(choices, (usage["promptTokenCount"], answered, usage.get("cachedContentTokenCount", 0)))


def _ollama(lines: list[dict[str, Any]]) -> Reading:
    choice = Choice()
    for line in lines:
        message = line.get("message") or {"content": line.get("response")}
        choice.text += message["content"]
        choice.reasoning += message.get("thinking") or ""
        for call in message.get("tool_calls") or []:
            choice.tool_calls.append(
                {"id": None, "name": call["function"]["name"], "arguments": call["function"]["arguments"]}
            )
        if line["done"]:
            choice.finish_reason = "tool_calls" if choice.tool_calls else line["done_reason"]
            return Reading({0: choice}, (line["prompt_eval_count"], line["eval_count"], 0))
    raise AssertionError("the recording has no end")


def _texts(pieces: list[dict[str, Any]]) -> Reading:
    choices: dict[int, Choice] = {}
    usage = None
    for piece in pieces:
        usage = piece.get("usage") or usage
        for item in piece["choices"]:
            choice = choices.setdefault(item["index"], Choice())
            choice.text += item["text"]
            choice.finish_reason = item["finish_reason"] or choice.finish_reason
    return Reading(choices, _openai_usage(usage))


def _call(call_id: str | None, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "name": name, "arguments": json.loads(arguments)}
