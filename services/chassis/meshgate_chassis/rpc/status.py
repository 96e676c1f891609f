"""MeshError <-> google.rpc.Status: pure.

Exactly one ErrorInfo; RetryInfo and BadRequest where they apply (AIP-193).
"""

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from meshgate_chassis.errors import Code, MeshError

STATUS_DETAILS_KEY = "grpc-status-details-bin"
MESSAGE_CHARACTERS_MAX = 2_000  # trailers are limited; a longer text is cut
METADATA_CHARACTERS_MAX = 4_000  # for each value


def to_status(error: MeshError, domain: str) -> status_pb2.Status:
    """The error as a status; `domain` names the service that raised it, unless the error knows better."""
    info = error_details_pb2.ErrorInfo(
        reason=error.reason,
        domain=error.domain or domain,
        metadata={key: value[:METADATA_CHARACTERS_MAX] for key, value in error.metadata.items()},
    )
    details = [_pack(info)]
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        details.append(_pack(retry))
    if error.fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=path, description=what)
            for path, what in error.fields.items()
        ]
        details.append(_pack(error_details_pb2.BadRequest(field_violations=violations)))
    return status_pb2.Status(
        code=error.code.value, message=error.message[:MESSAGE_CHARACTERS_MAX], details=details
    )


def from_status(code: int, message: str, details: bytes | None) -> MeshError:
    """The error a status stands for; one without details becomes reason `RPC_<code>`."""
    known = Code(code) if code in Code._value2member_map_ else Code.UNKNOWN
    error = MeshError(known, f"RPC_{known.name}", message)
    if details is None:
        return error
    try:
        status = status_pb2.Status.FromString(details)
    except DecodeError:
        return error
    for detail in status.details:
        _apply(detail, error)
    return error


def _apply(detail: AnyMessage, error: MeshError) -> None:
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    bad = error_details_pb2.BadRequest()
    if detail.Unpack(info):
        error.reason, error.domain, error.metadata = info.reason, info.domain, dict(info.metadata)
    elif detail.Unpack(retry):
        error.retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    elif detail.Unpack(bad):
        error.fields = {item.field: item.description for item in bad.field_violations}


def _pack(
    message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo | error_details_pb2.BadRequest,
) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
