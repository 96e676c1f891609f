"""The configuration of a mesh that was given none."""

from pathlib import Path

import pytest

from meshgate_chassis.config import check_config, load_config
from meshgate_cli.default_config import PROVIDERS, default_config

URL = "http://127.0.0.1:4010/v1"
ALL_KEYS = {name: f"secret-of-{name}" for provider in PROVIDERS for name in provider.key_names}


def written(folder: Path, environ: dict[str, str], local_llm_url: str | None = None) -> Path:
    path = folder / "config.yaml"
    path.write_text(default_config(environ, demo_url=URL, local_llm_url=local_llm_url, redis=False))
    return path


def test_without_keys_the_demo_model_answers(tmp_path: Path) -> None:
    """One deployment, at the demo provider, with a price, so that spend can be seen."""
    config = load_config(written(tmp_path, {}), {})

    (demo,) = config.deployments
    assert (demo.model_group, demo.provider, demo.api_base) == ("demo", "openai", URL)
    assert demo.price is not None
    assert (demo.price.input_nanos_per_mtok, demo.price.output_nanos_per_mtok) == (10**9, 2 * 10**9)
    assert config.cache.enabled


def test_keys_switch_models_on(tmp_path: Path) -> None:
    """Each provider's models, with its key read from the environment by name."""
    path = written(tmp_path, ALL_KEYS)
    config = load_config(path, ALL_KEYS)

    expected = {name for provider in PROVIDERS for name in provider.models}
    assert {one.model_group for one in config.deployments} == expected | {"demo"}
    assert "secret-of" not in path.read_text()
    openai = next(one for one in config.deployments if one.model_group == "gpt-4o")
    assert openai.api_key is not None
    assert openai.api_key.value == "secret-of-OPENAI_API_KEY"


@pytest.mark.parametrize("environ", [{}, ALL_KEYS])
def test_it_has_no_problems(tmp_path: Path, environ: dict[str, str]) -> None:
    """Not even a warning: it is what a newcomer copies."""
    assert not check_config(written(tmp_path, environ, URL), environ)


def test_the_local_model_is_free(tmp_path: Path) -> None:
    """It costs nothing, which is a price, not a missing one."""
    config = load_config(written(tmp_path, {}, "http://127.0.0.1:4020/v1"), {})

    local = next(one for one in config.deployments if one.model_group == "smollm2")
    assert local.price is not None
    assert local.price.output_nanos_per_mtok == 0
