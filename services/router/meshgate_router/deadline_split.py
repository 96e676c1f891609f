"""How the time that is left is shared between a group and the groups that would follow it: pure."""

from collections.abc import Sequence


def share_s(left_s: float, following_s: Sequence[float]) -> float:
    """What a call may take so that those after it still get a chance.

    `following_s`: how long each would take at most. They get what they want, or, where that is too much, an
    equal part.
    """
    return max(left_s / (1 + len(following_s)), left_s - sum(following_s))
