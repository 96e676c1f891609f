"""Strategies by the names that config.yaml gives them."""

from meshgate_chassis.config.model import RouterConfig
from meshgate_router.strategies.candidate import Strategy
from meshgate_router.strategies.cost import cost_based
from meshgate_router.strategies.latency import latency_based
from meshgate_router.strategies.least_busy import least_busy
from meshgate_router.strategies.simple_shuffle import simple_shuffle
from meshgate_router.strategies.usage import usage_based

PRICED = frozenset({"cost-based-routing", "budget-aware-routing"})  # these need to know what a call costs


def strategy_of(name: str, config: RouterConfig) -> Strategy:
    """Names without a strategy of their own shuffle; the start warns of them (chassis, not_yet.py)."""
    strategies = {
        "least-busy": least_busy,
        "latency-based-routing": latency_based(config.latency_buffer),
        "usage-based-routing": usage_based,
        "usage-based-routing-v2": usage_based,
        "cost-based-routing": cost_based,
        "budget-aware-routing": cost_based,  # and what the budget cannot pay for steps back, as always
    }
    return strategies.get(name, simple_shuffle)


def needs_prices(config: RouterConfig) -> bool:
    """Whether any group is routed by price."""
    return not PRICED.isdisjoint((config.routing_strategy, *config.group_strategies.values()))
