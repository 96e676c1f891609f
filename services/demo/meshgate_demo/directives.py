"""Instructions inside the last user message: `demo:fail=429`, `demo:tokens=50`, `demo:delay=0.1`. Pure.

demo:fail=NAME[:ARGUMENT][@MODEL]   one fault for this request (see faults.py)
demo:tokens=N                       an answer of exactly N tokens
demo:delay=SECONDS                  between chunks
demo:first=SECONDS                  before the first chunk
demo:prefill=HOW                    what becomes of a last message of the assistant (see planning.py): honour
                                    (go on from its end), restart, repeat:N (its last N characters first)
"""

import re
from dataclasses import dataclass

from meshgate_demo.conversation import InvalidRequestError

TOKENS_MAX = 1_000_000
DELAY_S_MAX = 60.0

_DIRECTIVE = re.compile(r"demo:(fail|tokens|delay|first|prefill)=(\S*[^\s.,;!?'\")\]}])")


@dataclass(frozen=True, slots=True)
class Directives:
    """None: not said."""

    fail: str | None = None
    tokens: int | None = None
    delay_s: float | None = None
    first_s: float = 0.0
    prefill: str = "honour"


def read_directives(text: str) -> Directives:
    """Raises InvalidRequestError for a number that is none, or that is out of range."""
    said = dict(_DIRECTIVE.findall(text)) if "demo:" in text else {}
    tokens = _number("tokens", said["tokens"], TOKENS_MAX) if "tokens" in said else None
    return Directives(
        fail=said.get("fail"),
        tokens=None if tokens is None else int(tokens),
        delay_s=_number("delay", said["delay"], DELAY_S_MAX) if "delay" in said else None,
        first_s=_number("first", said["first"], DELAY_S_MAX) if "first" in said else 0.0,
        prefill=said.get("prefill", "honour"),
    )


def without_directives(text: str) -> str:
    """The question itself."""
    return " ".join(_DIRECTIVE.sub("", text).split()) if "demo:" in text else text.strip()


def _number(name: str, value: str, number_max: float) -> float:
    try:
        number = float(value)
    except ValueError:
        raise InvalidRequestError(f"demo:{name} needs a number, not {value!r}", "messages") from None
    if not 0 <= number <= number_max:
        raise InvalidRequestError(f"demo:{name} must be 0 to {number_max:g}", "messages")
    return number
