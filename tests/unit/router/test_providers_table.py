"""The table of providers: every name is one that config.yaml may use, and is told to the reader."""

from pathlib import Path

import pytest

from meshgate_chassis.config.providers import KEY_VARIABLES, KNOWN_PREFIXES
from meshgate_router.providers.registry import providers
from tests.support.deployments import deployment

TABLE = providers()
DOCS = (Path(__file__).parents[3] / "docs" / "providers.md").read_text()
# Their entries in config.yaml bring a key, or need none.
WITHOUT_VARIABLE = {"custom_openai", "openai_like", "vllm"}


@pytest.mark.parametrize("name", TABLE)
def test_a_name_is_known_everywhere(name: str) -> None:
    """By the configuration, by the variables of keys, and by docs/providers.md."""
    assert name in KNOWN_PREFIXES
    assert (name in KEY_VARIABLES) != (name in WITHOUT_VARIABLE)
    assert f"`{name}`" in DOCS
    assert name == TABLE[name].name


@pytest.mark.parametrize("name", TABLE)
def test_an_api_base_of_the_entry_wins(name: str) -> None:
    """Over the address that the provider has, if it has one."""
    assert "http://box:1/x" == TABLE[name].base(deployment("m", name, api_base="http://box:1/x"))
    assert "http://box:1/x" != TABLE[name].base(deployment("m", name))
