"""A deployment's limits as countable windows: pure.

Windows are fixed: minutes of UTC, and days that begin at midnight in the deployment's time zone.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from meshgate_chassis.config.model import Deployment

MINUTE_S: Final = 60
DAY_S: Final = 86_400
OUTPUT_TOKENS: Final = 256  # reserved for an answer of unsaid length, until its usage is known
OUTPUT_TOKENS_MAX: Final = 1_024  # reserved at most: most requests allow far more than they get


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a call takes of its limits."""

    requests: int = 1
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """One limit. `offset_s`: added to Unix time before it is cut into windows. `exact`: the amount is
    certain. An estimate that is larger than the whole limit is let through when nothing else is."""

    name: str
    seconds: int
    offset_s: int
    limit: int
    amount: int
    exact: bool

    def index(self, now_s: float) -> int:
        """Which window it is."""
        return int((now_s + self.offset_s) // self.seconds)

    def left_s(self, now_s: float) -> float:
        """Until it ends."""
        return (self.index(now_s) + 1) * self.seconds - self.offset_s - now_s

    def fits(self, used: int) -> bool:
        """Whether the amount may be added."""
        return used + self.amount <= self.limit or (not self.exact and used == 0 and self.limit > 0)


@dataclass(frozen=True, slots=True)
class Ask:
    """What one call would take of a deployment. `parallel_max`: None: no limit."""

    account: str
    windows: tuple[Window, ...]
    parallel_max: int | None


def ask_of(deployment: Deployment, amounts: Amounts, now_s: float) -> Ask:
    """`now_s`: Unix time; says what the offset of the time zone is."""
    limits = deployment.limits
    tokens = amounts.prompt_tokens + amounts.completion_tokens
    zone_s = 0
    if (limits.rpd is not None or limits.tpd is not None) and limits.time_zone != "UTC":
        zone_s = _offset_s(limits.time_zone, now_s)
    rows = (
        ("rpm", MINUTE_S, 0, limits.rpm, amounts.requests, True),
        ("rpd", DAY_S, zone_s, limits.rpd, amounts.requests, True),
        ("tpm", MINUTE_S, 0, limits.tpm, tokens, False),
        ("tpd", DAY_S, zone_s, limits.tpd, tokens, False),
        ("itpm", MINUTE_S, 0, limits.itpm, amounts.prompt_tokens, False),
        ("otpm", MINUTE_S, 0, limits.otpm, amounts.completion_tokens, False),
    )
    windows = tuple(
        Window(name, seconds, offset_s, limit, amount, exact)
        for name, seconds, offset_s, limit, amount, exact in rows
        if limit is not None
    )
    return Ask(deployment.account, windows, limits.max_parallel_requests)


def corrections(before: Amounts, after: Amounts) -> dict[str, int]:
    """What has to be added to each window, by its name, when the real amounts are known."""
    requests = after.requests - before.requests
    prompt = after.prompt_tokens - before.prompt_tokens
    completion = after.completion_tokens - before.completion_tokens
    return {
        "rpm": requests,
        "rpd": requests,
        "tpm": prompt + completion,
        "tpd": prompt + completion,
        "itpm": prompt,
        "otpm": completion,
    }


def reserved(prompt_tokens: int, output_tokens_max: int | None) -> Amounts:
    """What is taken before the call."""
    output = OUTPUT_TOKENS if output_tokens_max is None else min(output_tokens_max, OUTPUT_TOKENS_MAX)
    return Amounts(1, prompt_tokens, output)


def _offset_s(time_zone: str, now_s: float) -> int:
    offset = datetime.fromtimestamp(now_s, UTC).astimezone(ZoneInfo(time_zone)).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
