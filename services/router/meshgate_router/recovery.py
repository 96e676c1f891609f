"""Mid-stream recovery: an answer that broke off is continued by another deployment. Pure, but for its state.

`Told` follows what the client has; `continuation` is the request that asks for the rest; `Splice` makes the
continuation's chunks part of the same stream.

Only plain text can be continued: not tool calls, JSON, several choices, log probabilities or reasoning that
were under way, because nobody can prefill them so that the result is whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshgate_chassis.chat.json import dumps, loads, loads_object
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_protos.router.v1 import router_service_pb2 as router_pb
from meshgate_router.open_stream import bears_token
from meshgate_router.prefill import Prefill
from meshgate_router.providers.base import ErrorKind, ProviderError
from meshgate_router.retry import Worth, worth_of
from meshgate_router.seam import Seam

RECOVERIES_MAX: Final = 3  # of one stream
TEXT_CHARACTERS_MAX: Final = 262_144  # a longer answer is not continued, for its text has to be kept
TOKEN_CHARACTERS: Final = 5  # of text, about; to count what a provider has not counted
_UNCONTINUABLE: Final = ("logprobs", "top_logprobs", "modalities", "audio", "thinking", "prompt_logprobs")


def can_recover(chat: pb.ChatRequest) -> bool:
    """Nothing is asked for that cannot be continued."""
    if chat.n > 1 or chat.reasoning_effort not in ("", "none"):
        return False
    if not chat.messages or chat.messages[-1].role == "assistant":
        return False  # A prefix of the client's own: what a provider makes of two is not known.
    if chat.response_format_json and _type_of(loads(chat.response_format_json)) != "text":
        return False
    extra = loads_object(chat.extra_json) if chat.extra_json else {}
    return not any(extra.get(name) for name in _UNCONTINUABLE)


def worth_recovering(error: ProviderError) -> bool:
    """A wrong request stays wrong."""
    return worth_of(error.kind) is not Worth.NOWHERE


class Told:
    """What the client has of the answer."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._characters = 0
        self._chunks = 0
        self._plain = True
        self._silent = (b"", b"")  # no member, and what said nothing last time
        self.first: pb.ChatChunk | None = None
        self.breaks = 0  # of the answer, until now

    @classmethod
    def before(cls, said: router_pb.Told) -> "Told":
        """What the client has of an answer that another RPC began."""
        told = cls()
        told.first = pb.ChatChunk(id=said.id, created=said.created, model=said.model)
        told._pieces, told._characters, told._chunks = [said.text], len(said.text), said.output_tokens
        told.breaks = said.calls
        return told

    @property
    def recoverable(self) -> bool:
        """It is plain text, and not too much."""
        return self._plain and self._characters <= TEXT_CHARACTERS_MAX

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def tokens_min(self) -> int:
        """About; a chunk has at least one."""
        return max(self._chunks, self._characters // TOKEN_CHARACTERS)

    def add(self, chunks: Sequence[pb.ChatChunk]) -> None:
        """Chunks that leave for the client."""
        for chunk in chunks:
            if self.first is None:
                self.first = pb.ChatChunk(id=chunk.id, created=chunk.created, model=chunk.model)
            for choice in chunk.choices:
                self._add(choice)

    def _add(self, choice: pb.ChoiceDelta) -> None:
        delta = choice.delta
        if (
            choice.index
            or delta.tool_calls
            or delta.reasoning_content
            or delta.refusal
            or (delta.extra_json and _says(delta.extra_json))
            or (choice.extra_json not in self._silent and self._speaks(choice.extra_json))
        ):
            self._plain = False
        if delta.content and self.recoverable:
            self._pieces.append(delta.content)
            self._characters += len(delta.content)
            self._chunks += 1

    def _speaks(self, extra_json: bytes) -> bool:
        says = _says(extra_json)
        if not says:
            self._silent = (b"", extra_json)
        return says


@dataclass(frozen=True, slots=True)
class Continuation:
    """`chat`: asks for the rest of `sent`. `trimmed`: see Seam."""

    chat: pb.ChatRequest
    sent: str
    trimmed: str
    prefill: Prefill


def continuation(chat: pb.ChatRequest, told: Told, prefill: Prefill) -> Continuation:
    """The same request, with what the client has as the beginning of the answer."""
    sent = told.text
    asked = pb.ChatRequest()
    asked.CopyFrom(chat)
    prefix = sent.rstrip() if prefill.trimmed else sent
    asked.messages.add(role="assistant", text=prefix, extra_json=_with(b"", prefill.message))
    asked.extra_json = _with(asked.extra_json, prefill.request)
    for name in ("max_tokens", "max_completion_tokens"):
        if asked.HasField(name):
            setattr(asked, name, max(1, getattr(asked, name) - told.tokens_min))
    return Continuation(asked, sent, sent[len(prefix) :], prefill)


class Splice:
    """Chunks of one continuation -> chunks of the stream that the client knows."""

    def __init__(self, told: Told, asked: Continuation) -> None:
        assert told.first is not None, "a stream that broke had begun"
        self._first = told.first
        self._seam = Seam(asked.sent, asked.trimmed, asked.prefill.echo)
        self._received: list[str] = []

    @property
    def received_text(self) -> str:
        """What the provider sent, as it came."""
        return "".join(self._received)

    def pass_on(self, chunks: Sequence[pb.ChatChunk]) -> list[pb.ChatChunk]:
        """Without what the client has. Raises ProviderError when the continuation is none."""
        return [chunk for chunk in chunks if self._fits(chunk)]

    def _fits(self, chunk: pb.ChatChunk) -> bool:
        """False: nothing is left of it. Changes it in place."""
        chunk.id, chunk.created, chunk.model = self._first.id, self._first.created, self._first.model
        for choice in chunk.choices:
            delta = choice.delta
            delta.ClearField("role")
            if delta.content:
                self._received.append(delta.content)
                delta.content = self._seam.feed(delta.content)
            ends = choice.HasField("finish_reason") or delta.tool_calls or delta.reasoning_content
            if ends and (rest := self._seam.finish()):
                delta.content += rest
        return chunk.HasField("usage") or bears_token(chunk)


def cannot_continue() -> ProviderError:
    """For a deployment that knows no prefill: the next one is asked."""
    message = "the deployment cannot go on with an answer that another one began"
    return ProviderError(ErrorKind.NOT_SUPPORTED, message, 400, sent=False)


def _type_of(value: Any) -> str:
    return str(value.get("type", "")) if isinstance(value, dict) else ""


def _says(extra_json: bytes) -> bool:
    return any(loads_object(extra_json).values())


def _with(extra_json: bytes, members: Any) -> bytes:
    if not members:
        return extra_json
    return dumps({**(loads_object(extra_json) if extra_json else {}), **members})
