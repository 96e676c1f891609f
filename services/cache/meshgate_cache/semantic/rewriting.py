"""Patterns that bring a text into one form, tried only where they can match. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_ESCAPED_OR_CLASS: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]")
_GROUP: Final = re.compile(r"\([^()]*\)")
_QUANTIFIED: Final = re.compile(r".(?:[?*]|\{0?,\d*\})")
_LITERAL: Final = re.compile(r"[a-z' ]+")


@dataclass(frozen=True, slots=True)
class Rewriting:
    """`literal` is in every text that the pattern matches; it is much cheaper to look for."""

    pattern: re.Pattern[str]
    form: str
    literal: str


def rewritings(table: Mapping[str, str], before: str, after: str) -> Sequence[Rewriting]:
    """Of pattern to form; `before` and `after` are put round each pattern."""
    return tuple(
        Rewriting(re.compile(f"{before}(?:{pattern}){after}"), form, literal_of(pattern))
        for pattern, form in table.items()
    )


def literal_of(pattern: str) -> str:
    """The longest plain text that whatever matches must have; empty when there is none for sure."""
    plain = _ESCAPED_OR_CLASS.sub("#", pattern)
    while _GROUP.search(plain):
        plain = _GROUP.sub("#", plain)
    if "|" in plain:
        return ""
    return max(_LITERAL.findall(_QUANTIFIED.sub("#", plain)), key=len, default="")
