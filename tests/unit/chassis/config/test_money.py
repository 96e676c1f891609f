"""Limits that config.yaml sets."""

import pytest

from meshgate_chassis.config.model import ConfiguredLimit, ConfiguredLimits
from meshgate_chassis.config.sections.money import period_of
from tests.unit.chassis.config.loading import Folder

USD = 1_000_000_000


def limits(folder: Folder, text: str) -> ConfiguredLimits:
    return folder.load(text).ledger.limits


def test_sections_of_a_reference_deployment(folder: Folder) -> None:
    """Are the whole gateway's."""
    found = limits(
        folder,
        """
        budgets: {max_budget: 1000.0, budget_duration: "30d", soft_budget_limit: 800.0}
        rate_limit: {rpm: 10000, tpm: 2000000, max_parallel_requests: 100}
        general_settings: {global_max_parallel_requests: 50}
        """,
    )
    assert found.gateway == (
        ConfiguredLimit("spend", "30d", 1_000 * USD, 800 * USD),
        ConfiguredLimit("requests", "60s", 10_000),
        ConfiguredLimit("tokens", "60s", 2_000_000),
        ConfiguredLimit("parallel", "", 50),
    )
    assert ((), ()) == (found.user, found.customer)


def test_litellms_budget_is_the_gateways(folder: Folder) -> None:
    """For a day of the time zone, say."""
    found = limits(
        folder,
        """
        litellm_settings: {max_budget: 10, budget_duration: 1d, timezone: Europe/Berlin}
        """,
    )
    assert ConfiguredLimits((ConfiguredLimit("spend", "1d", 10 * USD),), time_zone="Europe/Berlin") == found


def test_a_budget_beside_rates_is_each_users(folder: Folder) -> None:
    """And each end user's, whose own budget may be another; parallel calls are of both kinds."""
    found = limits(
        folder,
        """
        litellm_settings:
          {max_budget: 100, budget_duration: 24h, rpm: 100, tpm: 10000, max_parallel_requests: 100,
           global_max_parallel_requests: 500, max_end_user_budget: 0.5}
        """,
    )
    shared = (
        ConfiguredLimit("requests", "60s", 100),
        ConfiguredLimit("tokens", "60s", 10_000),
        ConfiguredLimit("parallel", "", 100),
        ConfiguredLimit("spend", "1d", 100 * USD),
    )
    assert (ConfiguredLimit("parallel", "", 500),) == found.gateway
    assert shared == found.user
    assert (*shared, ConfiguredLimit("spend", "", USD // 2)) == found.customer


@pytest.mark.parametrize(
    ("duration_s", "period"),
    [(None, ""), (30, "30s"), (3_600, "1h"), (86_400, "1d"), (2_592_000, "30d"), (5_400, "90m"), (0.2, "1s")],
)
def test_periods(duration_s: float | None, period: str) -> None:
    """As LiteLLM writes them, so that they end when LiteLLM's do."""
    assert period == period_of(duration_s)
