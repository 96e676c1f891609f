"""What Anthropic's models can do, by their names: pure.

Names that do not tell (aliases, other hosts' names) count as old: what all models can do is asked of them.
"""

import re
from typing import Final

_NAMES: Final = (
    re.compile(r"claude-[a-z]+-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)"),  # claude-sonnet-4-5-20250929
    re.compile(r"claude-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)"),  # claude-3-7-sonnet-20250219
)


def version_of(model: str) -> tuple[int, int]:
    """(4, 5) of claude-sonnet-4-5-20250929; (0, 0) when the name does not tell."""
    match = next((match for name in _NAMES if (match := name.search(model))), None)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)


def knows_json_schemas(model: str) -> bool:
    """`output_config.format`."""
    return version_of(model) >= (4, 5) or "opus-4-1" in model


def thinks_adaptively(model: str) -> bool:
    """Such models take an effort, and refuse or ignore a budget of tokens."""
    return version_of(model) >= (4, 6)


def knows_highest_effort(model: str) -> bool:
    """`xhigh`."""
    return version_of(model) >= (4, 7)


def samples_by_itself(model: str) -> bool:
    """Such models refuse `temperature`, `top_p` and `top_k`."""
    return version_of(model) >= (4, 7)
