"""What a public name means: aliases, exact names, patterns."""

import pytest

from meshgate_chassis.config.names import PublicNames, grouped, matched_text
from tests.unit.chassis.config.loading import Folder

CONFIG = """\
    model_list:
      - {model_name: gpt, litellm_params: {model: openai/gpt-4o}}
      - {model_name: openai/*, litellm_params: {model: openai/*}}
      - {model_name: gpt, litellm_params: {model: openai/my-own}}
      - {model_name: openai/gpt-*, litellm_params: {model: openai/ft-*}}
      - {model_name: openai/gpt-4o, litellm_params: {model: openai/gpt-4o}}
      - {model_name: openai/gpt-*, litellm_params: {model: groq/same}}
      - {model_name: shadowed, litellm_params: {model: openai/nobody-asks-me}}
    """
ALIASES = {
    "best": "gpt",
    "newest": "openai/gpt-5",
    "shadowed": "gpt",
    "chain": "best",
    "nowhere": "nobody",
}


@pytest.fixture
def names(folder: Folder) -> PublicNames:
    """Of a configuration as an operator writes it."""
    return PublicNames(grouped(folder.load(CONFIG).deployments), ALIASES)


@pytest.mark.parametrize(
    ("name", "group", "upstream_models"),
    [
        ("gpt", "gpt", ["gpt-4o", "my-own"]),
        ("best", "gpt", ["gpt-4o", "my-own"]),
        ("shadowed", "gpt", ["gpt-4o", "my-own"]),
        ("openai/gpt-4o", "openai/gpt-4o", ["gpt-4o"]),
        ("openai/gpt-5", "openai/gpt-5", ["ft-5", "same"]),
        ("newest", "openai/gpt-5", ["ft-5", "same"]),
        ("openai/o3/x", "openai/o3/x", ["o3/x"]),
        ("openai/*", "openai/*", ["*"]),
    ],
)
def test_a_name_leads_to_deployments(
    names: PublicNames, name: str, group: str, upstream_models: list[str]
) -> None:
    """An alias before all, then the exact name, then the longest pattern; its text replaces the star."""
    found = names.find(name)

    assert found is not None
    assert group == found.name
    assert upstream_models == [each.upstream_model for each in found.deployments]
    assert {group} == {each.model_group for each in found.deployments}
    assert names.knows(name)


@pytest.mark.parametrize("name", ["claude", "nowhere", "nobody", "chain", "openai", "OPENAI/x", ""])
def test_a_name_that_leads_nowhere(names: PublicNames, name: str) -> None:
    """None, not an error; an alias of an alias is one of them, as the configuration warned."""
    assert (None, False) == (names.find(name), names.knows(name))


def test_the_names_to_list(names: PublicNames) -> None:
    """Patterns are no names; the rest is in the order of the file."""
    assert ["gpt", "openai/gpt-4o", "shadowed"] == [group.name for group in names.exact]


@pytest.mark.parametrize(
    ("pattern", "name", "text"),
    [
        ("a", "a", ""),
        ("a", "b", None),
        ("*", "anything", "anything"),
        ("*", "", ""),
        ("openai/*", "openai/gpt", "gpt"),
        ("openai/*", "openai", None),
        ("a*z", "abcz", "bc"),
        ("a*z", "az", ""),
        ("a*z", "abc", None),
        ("aa*aa", "aaa", None),
        ("a*b*", "axb*", "x"),
    ],
)
def test_patterns(pattern: str, name: str, text: str | None) -> None:
    """One star stands for any text; a second one is itself."""
    assert text == matched_text(pattern, name)
