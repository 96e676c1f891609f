"""What the service and its worker processes say to each other."""

from dataclasses import dataclass

from meshgate_compression.messages import Message
from meshgate_compression.policy import Policy

LENGTH_BYTES = 4  # Of the length before each frame.
READY = b"ready"


@dataclass(frozen=True, slots=True)
class Job:
    """One conversation to compress. `compressor`, `tokenizer`: names in their tables."""

    messages: tuple[Message, ...]
    policy: Policy
    compressor: str
    tokenizer: str
