"""Prices and costs, by the names they have in the ledger. The edge tells costs by the same code."""

from meshgate_chassis.price import (
    COST_NANOS_MAX,
    MTOK,
    TIER_MARGIN,
    TOKENS_MAX,
    Cost,
    Price,
    PriceTier,
    Rates,
    TokenCounts,
    component_nanos,
    consistent,
    cost_of,
    highest_cost,
)

__all__ = (
    "COST_NANOS_MAX",
    "MTOK",
    "TIER_MARGIN",
    "TOKENS_MAX",
    "Cost",
    "Price",
    "PriceTier",
    "Rates",
    "TokenCounts",
    "component_nanos",
    "consistent",
    "cost_of",
    "highest_cost",
)
