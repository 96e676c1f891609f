"""The one error that crosses RPC.

MeshError is a failure to decide or to do; a miss or a denial is a value, not an error.

    MeshError(code, reason, message)   code: what a caller may do about it (gRPC's canonical codes)
                                       reason: UPPER_SNAKE, what happened, for machines
                                       message: one sentence, for people; never a secret

Each service keeps its reasons in protos/README.md. The edge alone renders errors for clients.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Code(Enum):
    """The canonical codes of gRPC (google.rpc.Code)."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(eq=False)
class MeshError(Exception):
    """See the module. `retry_after_s`: wait before a retry. `fields`: field path -> what is wrong with it."""

    code: Code
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    domain: str = ""

    def __str__(self) -> str:
        return f"{self.code.name}/{self.reason}: {self.message}"


def invalid_field(path: str, message: str) -> MeshError:
    """INVALID_ARGUMENT/FIELD_INVALID naming the field, for example `messages[0].role`."""
    return MeshError(Code.INVALID_ARGUMENT, "FIELD_INVALID", message, fields={path: message})
