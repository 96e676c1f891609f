"""How an answer says what became of the call: headers and trailers of gRPC over HTTP/2. Pure."""

from typing import Final

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.http2.headers import block
from meshgate_chassis.rpc.http2.values import decode_binary, decode_text, encode_text
from meshgate_chassis.rpc.status import STATUS_DETAILS_KEY, from_status

CONTENT_TYPE: Final = "application/grpc"
# What our servers say in nearly every answer; who reads it knows it by its bytes.
ANSWER_HEADERS: Final = block(
    [(":status", "200"), ("content-type", CONTENT_TYPE), ("grpc-accept-encoding", "identity")]
)
OK_TRAILERS: Final = block([("grpc-status", "0")])

CODES: Final = {str(code.value): code for code in Code}

# gRPC's mapping for answers that are not gRPC's own.
OF_HTTP_STATUS: Final = {
    "400": Code.INTERNAL,
    "401": Code.UNAUTHENTICATED,
    "403": Code.PERMISSION_DENIED,
    "404": Code.UNIMPLEMENTED,
    "429": Code.UNAVAILABLE,
    "502": Code.UNAVAILABLE,
    "503": Code.UNAVAILABLE,
    "504": Code.UNAVAILABLE,
}


def of_headers(headers: list[tuple[str, str]]) -> tuple[MeshError | None, bool]:
    """Of an answer that goes on: why it cannot be one of gRPC, or None; False when the real ones follow."""
    known = dict(headers)
    status = known.get(":status", "")
    if status.startswith("1"):
        return None, False
    if status != "200":
        return _of_http(status), True
    if not known.get("content-type", "").startswith(CONTENT_TYPE):
        return from_status(Code.UNKNOWN.value, "the answer is not gRPC", None), True
    return None, True


def of_trailers(headers: list[tuple[str, str]], *, first: bool) -> MeshError | None:
    """What the end of an answer says; None is OK. `first`: it is all of the answer."""
    known = dict(headers)
    status = known.get("grpc-status")
    if status is None:
        if first and known.get(":status", "200") != "200":
            return _of_http(known[":status"])
        return MeshError(Code.UNAVAILABLE, "CONNECTION_LOST", "the answer ended without a status")
    if status == "0":
        return None
    code = CODES.get(status, Code.UNKNOWN).value
    error = from_status(code, decode_text(known.get("grpc-message", "")), _details(known))
    if error.code is Code.UNAVAILABLE and not error.domain:  # a proxy's, or a server's that is no mesh's
        error.reason = "CONNECTION_LOST"
    return error


def trailers(code: int, text: str, binary: list[tuple[str, str]], *, only: bool) -> bytes:
    """The block that ends an answer; `only`: nothing was sent before. `binary` is encoded already."""
    pairs = [("grpc-status", str(code)), *binary]
    if text:
        pairs.insert(1, ("grpc-message", encode_text(text)))
    if only:
        pairs = [(":status", "200"), ("content-type", CONTENT_TYPE), *pairs]
    return block(pairs)


def _details(headers: dict[str, str]) -> bytes | None:
    try:
        return decode_binary(headers[STATUS_DETAILS_KEY]) if STATUS_DETAILS_KEY in headers else None
    except ValueError:
        return None  # the status is known without them


def _of_http(status: str) -> MeshError:
    code = OF_HTTP_STATUS.get(status, Code.UNKNOWN)
    error = from_status(code.value, f"HTTP status {status} instead of an answer", None)
    if code is Code.UNAVAILABLE:
        error.reason = "CONNECTION_LOST"
    return error
