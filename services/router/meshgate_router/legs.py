"""Provider calls of a request that did not give its answer, or not all of it, and may have cost something."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from meshgate_chassis.config.model import Deployment
from meshgate_protos.chat.v1 import chat_pb2 as pb

LEGS_MAX: Final = 32  # of one request


class LegReason(Enum):
    """Why it did not; the value crosses RPC."""

    HEDGE_LOST = "hedge_lost"
    STREAM_BROKEN = "stream_broken"
    UNANSWERED = "unanswered"  # all of the request went out, and nobody knows what became of it


@dataclass(frozen=True, slots=True)
class Leg:
    """`usage`: as far as the provider reported it. `whole`: it reported all of it; else `received_text` is
    what it sent until it was cut."""

    deployment: Deployment
    group: str
    reason: LegReason
    usage: pb.Usage | None
    whole: bool
    received_text: str
