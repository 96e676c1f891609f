"""LiteLLM's values in the ledger's words: amounts, times, JSON, limits. Pure."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from meshgate_ledger.entities.plan import LimitPlan, Window
from meshgate_ledger.periods import WHOLE_LIFE, normal_period
from meshgate_ledger.records import NANOS_PER_USD

NANOS_MAX = 10**18
ALL_MODELS = frozenset({"all-proxy-models", "all-team-models"})

Row = Mapping[str, Any]


def nanos_of(usd: float | Decimal | None) -> int:
    """An amount of USD as it is printed, in nano-USD; what is not finite is nothing."""
    amount = Decimal(str(usd or 0))
    if not amount.is_finite():
        return 0
    nanos = int((amount * NANOS_PER_USD).to_integral_value(ROUND_HALF_EVEN))
    return max(-NANOS_MAX, min(NANOS_MAX, nanos))


def text_of(value: object) -> str:
    """A text without what PostgreSQL or a header cannot have; None is empty."""
    return "" if value is None else str(value).replace("\0", "")[:256]


def json_of(value: object) -> Any:
    """A JSON column's value; None when it is none or not JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def document_of(value: object) -> str:
    """A JSON object to be kept as text; empty: none."""
    found = json_of(value)
    return json.dumps(found, separators=(",", ":")) if isinstance(found, dict) and found else ""


def time_of(value: datetime | None) -> datetime | None:
    """LiteLLM keeps times in UTC without saying so."""
    if value is None:
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def models_of(value: list[str] | None) -> tuple[str, ...]:
    """What may be called; LiteLLM's words for everything are empty here."""
    names = tuple(text_of(name) for name in value or ())
    return () if ALL_MODELS.intersection(names) else names


def plan_of(row: Row, metadata: Mapping[str, Any] | None = None) -> LimitPlan:
    """The limits of a row; of a key also those that are in its metadata."""
    extra = metadata or {}
    period = normal_period(row["budget_duration"] or "") or WHOLE_LIFE
    return LimitPlan(
        max_budget_nanos=_amount(row["max_budget"]),
        soft_budget_nanos=_amount(row["soft_budget"]),
        budget_period=period,
        model_budgets=_model_budgets(json_of(row["model_max_budget"])),
        requests_per_minute=_count(row["rpm_limit"]),
        tokens_per_minute=_count(row["tpm_limit"]),
        parallel_calls=_count(row["max_parallel_requests"]),
        model_requests_per_minute=_model_counts(extra.get("model_rpm_limit")),
        model_tokens_per_minute=_model_counts(extra.get("model_tpm_limit")),
    )


def _amount(usd: float | None) -> int | None:
    return None if usd is None else max(0, nanos_of(usd))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 and not isinstance(value, bool) else None


def _model_counts(value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    counts = {text_of(model): _count(limit) for model, limit in value.items()}
    return {model: limit for model, limit in counts.items() if model and limit is not None}


def _model_budgets(value: object) -> dict[str, Window]:
    """{model: amount}, or {model: {budget_limit or max_budget, time_period or budget_duration}}."""
    found: dict[str, Window] = {}
    for model, budget in value.items() if isinstance(value, dict) else ():
        amount, period = budget, ""
        if isinstance(budget, dict):
            amount = budget.get("budget_limit", budget.get("max_budget"))
            period = str(budget.get("time_period") or budget.get("budget_duration") or "")
        if isinstance(amount, int | float) and not isinstance(amount, bool) and amount >= 0:
            found[text_of(model)] = Window(nanos_of(amount), normal_period(period) or WHOLE_LIFE)
    return found
