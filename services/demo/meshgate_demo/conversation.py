"""What both API shapes have in common: a question that came in and the reply that goes out. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

JsonObject = dict[str, Any]

# The ASGI extension that ends a connection: server.py gives it, delivery.py uses it.
HANG_UP = "meshgate_demo.hang_up"


class InvalidRequestError(ValueError):
    """The caller's mistake: answered with 400, naming the parameter."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `parameters` is a JSON schema."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """A chat request, whatever API it came through."""

    model: str
    last_user_text: str
    tool_results: tuple[str, ...]  # of the last turn; not empty: the answer must use them
    tools: tuple[Tool, ...]
    tools_forced: bool  # the caller insists on a call
    tool_calls_max: int
    schema: Mapping[str, Any] | None  # the answer must be JSON for this schema; {}: any JSON object
    choices: int
    stop: tuple[str, ...]
    tokens_max: int | None
    prompt_tokens: int
    stream: bool
    stream_usage: bool
    prefix: str = ""  # a last message of the assistant: the answer goes on from its end


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`argument_pieces` joined are the arguments as JSON; one piece is one token."""

    id: str
    name: str
    argument_pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Either text or tool calls. `stopped_by`: the stop sequence that ended it."""

    text_pieces: tuple[str, ...]
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str  # stop, length or tool_calls, as OpenAI names them
    stopped_by: str | None = None

    @property
    def tokens(self) -> int:
        return len(self.text_pieces) + sum(len(call.argument_pieces) for call in self.tool_calls)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. Tokens are counted as the pieces it is made of."""

    number: int  # 1-based, of this process: makes identifiers
    created_s: int
    question: Question
    choices: tuple[Choice, ...]

    @property
    def completion_tokens(self) -> int:
        return sum(choice.tokens for choice in self.choices)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event. `tokens`: completion tokens it carries. `name`: of Anthropic's events."""

    data: bytes
    tokens: int = 0
    name: str | None = None

    @property
    def is_done(self) -> bool:
        """[DONE] is an end mark, not a chunk."""
        return self.data == b"[DONE]"

    @property
    def encoded(self) -> bytes:
        head = f"event: {self.name}\n".encode() if self.name else b""
        return head + b"data: " + self.data + b"\n\n"
