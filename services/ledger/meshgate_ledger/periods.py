"""Periods of limits, as LiteLLM writes them: '30s', '15m', '1h', '1d', '2w', '1mo'; '' is without end.

When a period ends is decided by PostgreSQL alone (`ledger.period_end`): it has to know in the middle of
a transaction.
"""

import re

WHOLE_LIFE = ""
COUNT_MAX = 10_000
PERIOD = re.compile(r"([0-9]{1,5})(s|m|h|d|w|mo)")
WORDS = {"hourly": "1h", "daily": "1d", "weekly": "7d", "monthly": "1mo"}


def normal_period(text: str) -> str | None:
    """The period as limits keep it; None when the text is none. Words and leading zeros are for people."""
    text = WORDS.get(text, text)
    match = PERIOD.fullmatch(text)
    if match is None or not 1 <= int(match[1]) <= COUNT_MAX:
        return None
    return f"{int(match[1])}{match[2]}"
