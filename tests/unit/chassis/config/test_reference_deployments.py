"""The configurations of the five reference deployments load as they are."""

from collections.abc import Mapping

import pytest

from meshgate_chassis.config import check_config, load_config
from meshgate_chassis.config.model import DeploymentPrice, GatewayConfig, Secret
from tests.unit.chassis.config.loading import FILES

KEYS = {
    "ANTHROPIC_API_KEY": "ant",
    "OPENAI_API_KEY": "oai",
    "GOOGLE_API_KEY": "goo",
    "LITELLM_MASTER_KEY": "sk-test-12345",
}


def load(name: str, environ: Mapping[str, str]) -> GatewayConfig:
    """One of the files."""
    return load_config(FILES / f"{name}.yaml", environ)


def by_group(config: GatewayConfig) -> dict[str, tuple[str, str]]:
    """Provider and upstream model by public name."""
    return {each.model_group: (each.provider, each.upstream_model) for each in config.deployments}


@pytest.mark.parametrize("name", ["workbench", "railway", "coder", "vibecode", "homelab"])
def test_nothing_is_unknown_and_nothing_is_needed(name: str) -> None:
    """No error and no unknown key, even without one variable; what is unset is named."""
    problems = check_config(FILES / f"{name}.yaml", {})
    assert [] == [str(each) for each in problems if each.severity == "error" or "unknown" in each.message]
    assert problems


def test_workbench() -> None:
    """Bare names, a fallback that is missing, prices, limits, and a cache section of its own."""
    config = load("workbench", {**KEYS, "REDIS_HOST": "r", "REDIS_PORT": "6380", "REDIS_PASSWORD": "p@:/"})
    assert by_group(config) == {
        "claude-sonnet-4.5": ("anthropic", "claude-3-5-sonnet-20241022"),
        "gpt-4o-mini": ("openai", "gpt-4o-mini"),
        "gemini-1.5-flash": ("gemini", "gemini-1.5-flash"),
    }
    claude, mini, flash = config.deployments
    assert claude.api_key is not None and claude.api_key.value == "ant"
    assert flash.api_key is not None and flash.api_key.value == "goo"
    assert (claude.rpm, claude.tpm, claude.request_defaults) == (500, 100_000, {"max_tokens": 8192})
    assert claude.price == DeploymentPrice(3_000_000_000, 15_000_000_000)
    assert mini.price == DeploymentPrice(150_000_000, 600_000_000)
    assert flash.price == DeploymentPrice(75_000_000, 300_000_000)
    assert config.router.routing_strategy == "latency-based-routing"
    assert (config.router.allowed_fails, config.router.cooldown_time_s) == (3, 30.0)
    assert config.router.fallbacks == {
        "claude-sonnet-4.5": ("gpt-4o-mini", "gemini-1.5-flash"),
        "gpt-4o-mini": ("gemini-1.5-flash",),
    }
    assert (config.cache.enabled, config.cache.type, config.cache.ttl_s) == (True, "redis", 3600)
    assert config.cache.redis_url is not None
    assert config.cache.redis_url.value == "redis://:p%40%3A%2F@r:6380"
    assert config.json_logs and config.log_level == "INFO"
    assert all(each.drop_params for each in config.deployments)
    assert ["router_settings.fallbacks[1].gpt-4o-mini[1]"] == [
        each.where for each in config.warnings if "is skipped" in each.message
    ]


def test_workbench_without_stores() -> None:
    """Four keys are all it needs: no Redis, no database."""
    config = load("workbench", KEYS)
    assert (config.cache.enabled, config.cache.type) == (True, "local")
    assert config.database_url is None
    assert config.master_key == Secret("sk-test-12345")


def test_railway() -> None:
    """Open mode without a master key; aliases, one of them hidden."""
    config = load("railway", {"REDIS_HOST": "redis.internal"})
    assert config.master_key is None
    assert config.router.model_group_alias == {
        "claude": "claude-sonnet",
        "gpt4": "gpt-4o",
        "gemini": "gemini-pro",
    }
    assert set(config.router.hidden_aliases) == {"gemini"}
    assert config.cache.redis_url == Secret("redis://redis.internal:6379")
    assert config.cache.supported_call_types == ("acompletion", "completion")
    assert config.router.timeout_s == 60.0
    assert config.allowed_origins == ("*",)


def test_coder() -> None:
    """`${NAME}` is a reference, and a semantic cache is read as an exact one."""
    environ = {**KEYS, "GROQ_API_KEY": "gsk", "DATABASE_URL": "postgresql://u:p@h/db"}
    config = load("coder", environ)
    assert config.master_key == Secret("sk-test-12345")
    assert config.database_url == Secret("postgresql://u:p@h/db")
    assert (config.cache.type, config.cache.namespace, config.cache.ttl_s) == ("redis", "litellm:cache", 3600)
    assert {each.model_group: each.mode for each in config.deployments}[
        "text-embedding-ada-002"
    ] == "embedding"
    assert (config.router.num_retries, config.router.timeout_s, config.router.fallbacks) == (3, 120.0, {})


def test_vibecode() -> None:
    """Defaults under every request, and a weighted group over other groups."""
    config = load("vibecode", {**KEYS, "OLLAMA_BASE_URL": "http://localhost:11434"})
    assert config.deployments[0].request_defaults == {"max_tokens": 128_000, "temperature": 0.7}
    group = [each for each in config.deployments if each.model_group == "production-chat"]
    assert [(each.upstream_model, each.weight) for each in group] == [
        ("gpt-4o", 0.4),
        ("claude-3-5-sonnet-20241022", 0.4),
        ("gpt-4o-mini", 0.2),
    ]
    assert group[0].price == config.deployments[0].price
    assert len({each.id for each in config.deployments}) == len(config.deployments)
    assert config.deployments[3].api_base == "http://localhost:11434"
    assert (config.log_level, config.router.routing_strategy) == ("DEBUG", "least-busy")


def test_homelab() -> None:
    """Router settings under litellm_settings, null sections, keys and database from the environment."""
    config = load("homelab", {"LITELLM_MASTER_KEY": "any text", "DATABASE_URL": "postgresql://h/db"})
    assert by_group(config)["vllm-qwen"] == ("openai", "Qwen/Qwen2.5-7B-Instruct")
    assert by_group(config)["groq/llama-3.3-70b-versatile"] == ("groq", "llama-3.3-70b-versatile")
    assert [each.timeout_s for each in config.deployments[:3]] == [3.0, 120.0, 30.0]
    assert config.deployments[1].request_defaults == {"extra_body": {"think": False}}
    assert config.router.fallbacks == {"vllm-qwen": ("ollama-qwen",), "ollama-qwen": ("openai-gpt4o",)}
    assert config.router.context_window_fallbacks == {"vllm-qwen": ("openai-gpt4o",)}
    assert (config.router.num_retries, config.router.allowed_fails) == (0, 1)
    assert (config.router.timeout_s, config.router.cooldown_time_s) == (30.0, 30.0)
    assert (config.master_key, config.database_url) == (Secret("any text"), Secret("postgresql://h/db"))


def test_without_a_file() -> None:
    """The environment alone is a configuration."""
    config = load_config(None, {"LITELLM_MASTER_KEY": "sk-1", "DATABASE_URL": "postgresql://h/db"})
    assert (config.master_key, config.database_url) == (Secret("sk-1"), Secret("postgresql://h/db"))
    assert config.deployments == ()
    assert load_config(None, {}) == GatewayConfig()
