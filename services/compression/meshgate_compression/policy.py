"""How to compress, and when not to.

Invariant: pure values; what a request leaves open is the configuration's.
"""

from dataclasses import dataclass

RATIO_MIN = 0.05
RATIO_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Policy:
    """`ratio` holds for conversation, `rag_ratio` for retrieved context: tokens kept / tokens given.

    `min_tokens`: a conversation shorter than this is left alone. `rag`: the user's content is
    retrieved context, or is not; None: recognise it. `allow_system`: system messages count as text.
    `untouched_messages`: the first so many stay as they are.
    """

    ratio: float = 0.5
    rag_ratio: float = 0.33
    min_tokens: int = 500
    allow_system: bool = False
    rag: bool | None = None
    untouched_messages: int = 0

    def __post_init__(self) -> None:
        assert RATIO_MIN <= self.ratio <= RATIO_MAX, "the ratio was checked where it came in"
        assert RATIO_MIN <= self.rag_ratio <= RATIO_MAX, "the ratio was checked where it came in"
