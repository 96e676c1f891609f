"""Budgets and limits in LiteLLM's JSON <-> the contract's Limits. Pure.

USD are decimals: as exact as they were written, and told to the last nano.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.errors import invalid_field
from meshgate_edge.management.key_values import nanos_to_usd, usd_to_nanos
from meshgate_protos.ledger.v1.limits_pb2 import BudgetWindow, Limits, Usage

LIMIT_MAX: Final = 10**15
MODELS_MAX: Final = 100
WINDOWS_MAX: Final = 16

# LiteLLM's name -> field of Limits.
COUNTS: Final[Mapping[str, str]] = {
    "rpm_limit": "requests_per_minute",
    "tpm_limit": "tokens_per_minute",
    "rpd_limit": "requests_per_day",
    "tpd_limit": "tokens_per_day",
    "max_parallel_requests": "parallel_calls",
}
MODEL_COUNTS: Final[Mapping[str, str]] = {
    "model_rpm_limit": "model_requests_per_minute",
    "model_tpm_limit": "model_tokens_per_minute",
}
FIELDS: Final[Mapping[str, str]] = {
    "max_budget": "max_budget_usd_nanos",
    "soft_budget": "soft_budget_usd_nanos",
    "budget_duration": "budget_duration",
    "budget_limits": "budget_windows",
    "model_max_budget": "model_budgets",
    **COUNTS,
    **MODEL_COUNTS,
}
SHORT_NAMES: Final[Mapping[str, str]] = {"rpm": "rpm_limit", "tpm": "tpm_limit"}
LIMIT_MEMBERS: Final = frozenset({*FIELDS, *SHORT_NAMES})


class Window(BaseModel):
    """A budget for a time."""

    max_budget: Decimal = Field(
        validation_alias=AliasChoices("max_budget", "budget_limit"), description="USD"
    )
    budget_duration: str | None = Field(
        None, validation_alias=AliasChoices("budget_duration", "time_period"), description="1h, 1d, 30d, 1mo"
    )


class LimitMembers(BaseModel):
    """What LiteLLM's API calls limits, wherever they may be given. An update changes only what is given;
    null removes."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    max_budget: Decimal | None = Field(None, description="USD that may be spent.")
    soft_budget: Decimal | None = Field(None, description="USD after which somebody is told.")
    budget_duration: str | None = Field(
        None, description="After which it begins anew: 1h, 1d, 30d, 1mo; absent: never."
    )
    budget_limits: list[Window] | None = Field(None, max_length=WINDOWS_MAX, description="Further budgets.")
    model_max_budget: dict[str, Window | Decimal] | None = Field(
        None, max_length=MODELS_MAX, description="A budget for each model: USD, or with a time_period."
    )
    rpm_limit: int | None = Field(None, description="Requests per minute.")
    tpm_limit: int | None = Field(None, description="Tokens per minute.")
    rpd_limit: int | None = Field(None, description="Requests per day.")
    tpd_limit: int | None = Field(None, description="Tokens per day.")
    rpm: int | None = Field(None, description="The same as rpm_limit.")
    tpm: int | None = Field(None, description="The same as tpm_limit.")
    max_parallel_requests: int | None = Field(None, description="Calls at a time.")
    model_rpm_limit: dict[str, int] | None = Field(None, max_length=MODELS_MAX)
    model_tpm_limit: dict[str, int] | None = Field(None, max_length=MODELS_MAX)

    def limits(self) -> Limits:
        """Raises `invalid_field` with LiteLLM's name of the member."""
        found = Limits(budget_duration=self.budget_duration or "")
        for name in ("max_budget", "soft_budget"):
            amount: Decimal | None = getattr(self, name)
            if amount is not None:
                setattr(found, FIELDS[name], usd_to_nanos(amount, name))
        for name, field in COUNTS.items():
            count = _first(
                getattr(self, name), *(getattr(self, s) for s, n in SHORT_NAMES.items() if n == name)
            )
            if count is not None:
                setattr(found, field, _count(name, count))
        for window in self.budget_limits or ():
            found.budget_windows.append(_window(window, "budget_limits"))
        for model, budget in (self.model_max_budget or {}).items():
            whole = budget if isinstance(budget, Window) else Window(max_budget=budget)
            found.model_budgets[model].CopyFrom(_window(whole, f"model_max_budget.{model}"))
        for name, field in MODEL_COUNTS.items():
            for model, count in (getattr(self, name) or {}).items():
                getattr(found, field)[model] = _count(f"{name}.{model}", count)
        return found

    def limit_paths(self, owner: str = "limits") -> list[str]:
        """The mask for what is given."""
        given = {SHORT_NAMES.get(name, name) for name in self.model_fields_set}
        return sorted(f"{owner}.{FIELDS[name]}" for name in given & FIELDS.keys())


def limits_json(limits: Limits) -> JsonObject:
    """All of LiteLLM's members of limits; null for what there is not."""
    found: JsonObject = {
        "max_budget": _usd(limits, "max_budget_usd_nanos"),
        "soft_budget": _usd(limits, "soft_budget_usd_nanos"),
        "budget_duration": limits.budget_duration or None,
        "budget_limits": [_window_json(each) for each in limits.budget_windows] or None,
        "model_max_budget": {
            model: {
                "budget_limit": nanos_to_usd(each.max_budget_usd_nanos),
                "time_period": each.budget_duration or None,
            }
            for model, each in sorted(limits.model_budgets.items())
        },
    }
    for name, field in COUNTS.items():
        told = limits.HasField(field)  # type: ignore[arg-type]  # a literal in the stubs
        found[name] = getattr(limits, field) if told else None
    for name, field in MODEL_COUNTS.items():
        found[name] = dict(sorted(getattr(limits, field).items())) or None
    return found


def budget_table(limits: Limits, budget_id: str) -> JsonObject | None:
    """LiteLLM's litellm_budget_table: what holds, when there is any limit."""
    if not budget_id and limits == Limits():
        return None
    return {"budget_id": budget_id or None} | limits_json(limits)


def usage_json(usage: Usage) -> JsonObject:
    """What was spent: in the budget's current period, and ever."""
    return {
        "spend": nanos_to_usd(usage.spend_usd_nanos),
        "total_spend": nanos_to_usd(usage.total_spend_usd_nanos),
        "budget_reset_at": iso(usage.budget_reset_time) if usage.HasField("budget_reset_time") else None,
    }


def iso(time: Timestamp) -> str:
    """For example 2026-11-21T12:00:00.000Z."""
    moment: Any = datetime.fromtimestamp(time.ToMilliseconds() / 1e3, UTC)
    return str(moment.isoformat(timespec="milliseconds")).replace("+00:00", "Z")


def _window(window: Window, name: str) -> BudgetWindow:
    return BudgetWindow(
        max_budget_usd_nanos=usd_to_nanos(window.max_budget, name),
        budget_duration=window.budget_duration or "",
    )


def _window_json(window: BudgetWindow) -> JsonObject:
    return {
        "max_budget": nanos_to_usd(window.max_budget_usd_nanos),
        "budget_duration": window.budget_duration or None,
    }


def _count(name: str, count: int) -> int:
    if not 0 <= count <= LIMIT_MAX:
        raise invalid_field(name, f"{name} must be between 0 and {LIMIT_MAX}")
    return count


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)


def _usd(limits: Limits, field: str) -> Decimal | None:
    if not limits.HasField(field):  # type: ignore[arg-type]  # a literal in the stubs
        return None
    return nanos_to_usd(getattr(limits, field))
