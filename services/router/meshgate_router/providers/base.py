"""What the router knows of a provider: a pure translation there and back, and one kind of error.

Invariants: nothing here does I/O, reads a clock or draws a random number. A provider object holds no
state; a stream decoder holds the state of one stream.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, runtime_checkable

from meshgate_chassis.chat.sse import SseEvent
from meshgate_chassis.config.model import Deployment
from meshgate_protos.chat.v1 import chat_pb2 as pb

USER_AGENT = "meshgate/0.1"


class Framing(Enum):
    """How a provider cuts its stream into events."""

    SSE = "server-sent events"
    LINES = "one JSON value a line"


class ErrorKind(Enum):
    """What went wrong, as far as routing cares; the value is the reason that crosses RPC."""

    RATE_LIMITED = "PROVIDER_RATE_LIMITED"
    TIMEOUT = "PROVIDER_TIMEOUT"
    UNAVAILABLE = "PROVIDER_UNAVAILABLE"  # 5xx, or no connection
    AUTHENTICATION_FAILED = "PROVIDER_AUTHENTICATION_FAILED"  # 401 and 403: our credential, not the client's
    BAD_REQUEST = "PROVIDER_BAD_REQUEST"
    NOT_FOUND = "PROVIDER_NOT_FOUND"
    CONTEXT_WINDOW_EXCEEDED = "PROVIDER_CONTEXT_WINDOW_EXCEEDED"
    CONTENT_FILTERED = "PROVIDER_CONTENT_FILTERED"
    OTHER = "PROVIDER_ERROR"  # any other status, and answers that make no sense
    NOT_SUPPORTED = (
        "PROVIDER_NOT_SUPPORTED"  # a provider of the configuration that the router cannot speak to
    )
    UNSUPPORTED_PARAMETER = "UNSUPPORTED_PARAMETER"  # refused before anything was sent
    FIELD_INVALID = "FIELD_INVALID"  # as above: a value that has no translation


@dataclass(eq=False)
class ProviderError(Exception):
    """One failed call.

    `http_status`: what a client should be told. `upstream_status`: what the provider said; None: it said
    nothing. `sent`: whether the request may have reached the provider, so that it may cost money.
    `unanswered`: all of it went out, and nobody knows whether it was served.
    `own_credential`: it is about the tenant's own key, so it says nothing about the deployment.
    `fields`: as in MeshError. The texts are the provider's: show them, never act on them.
    """

    kind: ErrorKind
    message: str
    http_status: int
    upstream_status: int | None = None
    type: str = ""
    code: str = ""
    param: str = ""
    retry_after_s: float | None = None
    sent: bool = True
    unanswered: bool = False
    own_credential: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.message}"


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """An HTTP request, ready to send. `headers` hold the credential: never log them.

    `json_answer`: the answer is to be found in the arguments of a tool that we added ourselves. `framing`:
    of the answer, if it is a stream.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    json_answer: bool = False
    framing: Framing = Framing.SSE


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a translation back needs to know. `created_s`: Unix time, for providers that give none."""

    request: UpstreamRequest
    created_s: int


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest:
    """Texts to embed. `inputs`: each a text, or its tokens. `dimensions`: None: the model's own.

    `encoding_format` is what a client asked for; providers are always asked for numbers. `extra`: members
    that nobody translates.
    """

    model: str
    inputs: tuple[str | tuple[int, ...], ...]
    dimensions: int | None = None
    encoding_format: str = "float"
    user: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingsAnswer:
    """`vectors`: one for each input, in order. `usage`: None when the provider told none."""

    vectors: tuple[tuple[float, ...], ...]
    usage: pb.Usage | None
    model: str


class StreamDecoder(Protocol):
    """The state of one streamed answer."""

    @property
    def usage(self) -> pb.Usage | None:
        """As the provider reported it so far."""

    @property
    def finish_reason(self) -> str:
        """Of the first choice; "" as long as there is none."""

    @property
    def done(self) -> bool:
        """The provider said that the stream is over: nothing more needs to be read."""

    @property
    def whole(self) -> bool:
        """Nothing of the answer is missing, if the bytes end here."""

    def feed(self, event: SseEvent) -> Sequence[pb.ChatChunk]:
        """The chunks an event amounts to; a line of NDJSON is an event without a name.

        Raises ProviderError for an error event and for nonsense."""


class Provider(Protocol):
    """One provider family."""

    @property
    def name(self) -> str:
        """The prefix in config.yaml."""

    def base(self, deployment: Deployment) -> str:
        """The address calls of this deployment begin with."""

    def request(self, chat: pb.ChatRequest, deployment: Deployment, *, stream: bool) -> UpstreamRequest:
        """Raises ProviderError UNSUPPORTED_PARAMETER or FIELD_INVALID, naming the field."""

    def response(self, body: bytes, exchange: Exchange) -> pb.ChatResponse:
        """The whole answer of a 200. Raises ProviderError when it is none."""

    def decoder(self, exchange: Exchange) -> StreamDecoder:
        """For the streamed answer of a 200."""

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """What any other answer means. `headers`: lower-case names. `body` may be cut."""


@runtime_checkable
class EmbeddingsProvider(Protocol):
    """What a Provider that has embeddings implements besides; ask with isinstance. Errors are `error`'s."""

    def embeddings_request(self, wanted: EmbeddingsRequest, deployment: Deployment) -> UpstreamRequest:
        """Raises ProviderError UNSUPPORTED_PARAMETER or FIELD_INVALID, naming the field."""

    def embeddings_answer(self, body: bytes, wanted: EmbeddingsRequest) -> EmbeddingsAnswer:
        """The answer of a 200. Raises ProviderError when it is none, or has not one vector for each input."""


def unsupported(provider: str, name: str) -> ProviderError:
    """UNSUPPORTED_PARAMETER for a member of the request that the provider has nothing like."""
    message = f"{provider} does not support parameters: ['{name}']"
    return ProviderError(
        ErrorKind.UNSUPPORTED_PARAMETER, message, 400, param=name, sent=False, fields={name: message}
    )


def unfit(path: str, message: str) -> ProviderError:
    """FIELD_INVALID for a value that cannot be said in the provider's terms."""
    return ProviderError(
        ErrorKind.FIELD_INVALID, f"{path} {message}", 400, param=path, sent=False, fields={path: message}
    )


def senseless(what: str) -> ProviderError:
    """The provider answered, and the answer cannot be read."""
    return ProviderError(ErrorKind.OTHER, f"the provider's answer cannot be used: {what}", 502)
