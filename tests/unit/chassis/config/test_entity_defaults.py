"""What new keys and users get, from whichever key of the configuration says it."""

from meshgate_chassis.config.model import EntityDefaults
from tests.unit.chassis.config.loading import Folder


def test_nothing_said(folder: Folder) -> None:
    """No defaults."""
    assert EntityDefaults() == folder.load("{}").entity_defaults


def test_every_way_to_say_it(folder: Folder) -> None:
    """Periods stay as they are written; LiteLLM's parameters win over those of the reference deployments."""
    config = folder.load(
        """\
        general_settings:
          {default_budget: 5.0, default_budget_duration: 1d, litellm_key_budget_duration: 30d}
        litellm_settings:
          {default_key_generate_params: {max_budget: 7, models: [a]}, max_internal_user_budget: 2.5,
           upperbound_key_generate_params: {max_budget: 9}, internal_user_budget_duration: 1mo}
        """
    )

    assert EntityDefaults(
        key={"max_budget": 7, "budget_duration": "1d", "models": ["a"]},
        key_upper_bounds={"max_budget": 9},
        user={"max_budget": 2.5, "budget_duration": "1mo"},
    ) == (config.entity_defaults)
