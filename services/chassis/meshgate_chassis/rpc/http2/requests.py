"""What the headers of a call say. Pure."""

from typing import Final, NamedTuple

from meshgate_chassis.errors import Code
from meshgate_chassis.rpc.http2 import statuses
from meshgate_chassis.rpc.http2.headers import block
from meshgate_chassis.rpc.http2.values import decode_timeout


class Request(NamedTuple):
    """A call of gRPC. `metadata`: texts alone, lower-case names."""

    path: str
    timeout_s: float | None
    metadata: dict[str, str]


class Refusal(NamedTuple):
    """No call, and the block of headers that says so."""

    block: bytes


NOT_POST: Final = Refusal(block([(":status", "405")]))
NOT_GRPC: Final = Refusal(block([(":status", "415")]))
COMPRESSED: Final = Refusal(
    block(
        [
            (":status", "200"),
            ("content-type", statuses.CONTENT_TYPE),
            ("grpc-status", str(Code.UNIMPLEMENTED.value)),
            ("grpc-message", "messages are taken as they are: no compression"),
            ("grpc-accept-encoding", "identity"),
        ]
    )
)
NO_TIMEOUT: Final = Refusal(
    statuses.trailers(Code.INTERNAL.value, "grpc-timeout is no time limit", [], only=True)
)


def request_of(headers: list[tuple[str, str]]) -> Request | Refusal:
    """The call that these headers begin."""
    path = method = content_type = ""
    timeout_s: float | None = None
    metadata: dict[str, str] = {}
    for name, value in headers:
        if name == ":path":
            path = value
        elif name == ":method":
            method = value
        elif name == "content-type":
            content_type = value
        elif name == "grpc-timeout":
            try:
                timeout_s = decode_timeout(value)
            except ValueError:
                return NO_TIMEOUT
        elif name == "grpc-encoding":
            if value != "identity":
                return COMPRESSED
        elif not name.startswith((":", "grpc-")) and not name.endswith("-bin"):
            metadata[name] = value
    if method != "POST":
        return NOT_POST
    if not content_type.startswith(statuses.CONTENT_TYPE):
        return NOT_GRPC
    return Request(path, timeout_s, metadata)
