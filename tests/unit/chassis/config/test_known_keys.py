"""The tables of keys: each key in one place, none of LiteLLM's reported."""

import pytest

from meshgate_chassis.config import accepted_keys, known_keys, known_model_keys
from meshgate_chassis.config.kinds import anything, price
from meshgate_chassis.config.not_yet import SAID
from meshgate_chassis.config.schema import kind_of
from tests.unit.chassis.config.loading import Folder

SECTION_TABLES = {
    "router_settings": known_keys.ROUTER_SETTINGS,
    "litellm_settings": known_keys.LITELLM_SETTINGS,
    "general_settings": known_keys.GENERAL_SETTINGS,
}
TABLES = {
    "SECTIONS": known_keys.SECTIONS,
    "LITELLM_PARAMS": known_model_keys.LITELLM_PARAMS,
    "REQUEST_PARAMS": known_model_keys.REQUEST_PARAMS,
    "ROUTER_SETTINGS": known_keys.ROUTER_SETTINGS,
    "CACHE_PARAMS": known_keys.CACHE_PARAMS,
    "LITELLM_SETTINGS": known_keys.LITELLM_SETTINGS,
    "GENERAL_SETTINGS": known_keys.GENERAL_SETTINGS,
}


@pytest.mark.parametrize("name", TABLES)
def test_a_key_stands_in_one_place(name: str) -> None:
    """What is checked is not also accepted as anything; the lists are sorted and have no copies."""
    accepted = getattr(accepted_keys, name)
    assert [] == [key for key in accepted if TABLES[name][key] is not anything]
    assert sorted(set(accepted)) == list(accepted)


@pytest.mark.parametrize("section", SECTION_TABLES)
def test_accepted_keys_are_accepted(folder: Folder, section: str) -> None:
    """Any value at all, also for keys that a pattern covers; silently, unless they promise something."""
    keys = [
        key for key, kind in SECTION_TABLES[section].items() if kind is anything and key != "cache_params"
    ]
    text = f"{section}:\n" + "".join(f"  {key.replace('*', 'x')}: {{a: [1]}}\n" for key in keys)
    assert len(keys) > 10
    assert [] == [line for line in folder.lines(text) if SAID not in line]


def test_patterns() -> None:
    """`name_*` covers what begins so, and not the key that is only misspelt."""
    assert kind_of("input_cost_per_token_batches", known_model_keys.LITELLM_PARAMS) is anything
    assert kind_of("input_cost_per_token_above_200k_tokens", known_model_keys.LITELLM_PARAMS) is price
    assert kind_of("input_cost_per_tokens", known_model_keys.LITELLM_PARAMS) is None
    assert kind_of("input_cost_per_token", known_model_keys.LITELLM_PARAMS) not in (None, anything)
