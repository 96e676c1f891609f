"""The seam between contracts and transport: what a client and a servicer see of RPC.

Pure interfaces, copied into the generated package as `meshgate_protos.rpc`. The generated
`*_mesh.py` modules speak only these; `meshgate_chassis.rpc` implements them.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
RequestIn = TypeVar("RequestIn", bound=Message, contravariant=True)
ResponseOut = TypeVar("ResponseOut", bound=Message, covariant=True)


@dataclass(frozen=True, slots=True)
class UnaryMethod(Generic[Request, Response]):
    """One request, one response. `path` is "/package.Service/Method"."""

    path: str
    request_type: type[Request]
    response_type: type[Response]


@dataclass(frozen=True, slots=True)
class StreamMethod(Generic[Request, Response]):
    """One request, a stream of responses. `path` is "/package.Service/Method"."""

    path: str
    request_type: type[Request]
    response_type: type[Response]


@dataclass(frozen=True, slots=True)
class Service:
    """A service's full name and its methods by the servicer's attribute names."""

    name: str
    methods: Mapping[str, UnaryMethod[Any, Any] | StreamMethod[Any, Any]]


class Call(Protocol):
    """What a servicer may know about the call it answers."""

    @property
    def caller(self) -> str:
        """The authenticated caller: a service name such as "edge"; "" on public services."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Text metadata of the call, lower-case names."""

    @property
    def peer_address(self) -> str:
        """On public services: the caller's IP address; "" when there is none, as on a unix socket."""

    def remaining_s(self) -> float:
        """Seconds until the caller's deadline; never negative."""


class UnaryCall(Protocol[RequestIn, ResponseOut]):
    """Raises the chassis' MeshError. `timeout_s` only ever shortens the deadline at hand."""

    async def __call__(
        self,
        request: RequestIn,
        *,
        timeout_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ResponseOut: ...


class StreamCall(Protocol[RequestIn, ResponseOut]):
    """Closing the generator cancels the call. Raises the chassis' MeshError."""

    def __call__(
        self,
        request: RequestIn,
        *,
        timeout_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[ResponseOut, None]: ...


class Channel(Protocol):
    """A connection to one service, with deadline, identity and telemetry applied."""

    def unary(self, method: UnaryMethod[Request, Response]) -> UnaryCall[Request, Response]: ...

    def stream(self, method: StreamMethod[Request, Response]) -> StreamCall[Request, Response]: ...
