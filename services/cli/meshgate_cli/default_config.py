"""The configuration of a mesh that was given none. Pure: text from what the environment offers.

The demo model always; a provider's models when its key is in the environment (by name, never by value).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

DEMO_MODEL = "demo"
LOCAL_MODEL = "smollm2"

# The demo model costs play money, so that spend and budgets can be seen to work.
DEMO_INPUT_USD_PER_MTOK = 1
DEMO_OUTPUT_USD_PER_MTOK = 2


@dataclass(frozen=True, slots=True)
class Provider:
    """`key_names`: the first that is set is used. `models`: public name -> provider/model."""

    title: str
    key_names: tuple[str, ...]
    models: Mapping[str, str]


PROVIDERS = (
    Provider(
        "OpenAI",
        ("OPENAI_API_KEY",),
        {"gpt-4o": "openai/gpt-4o", "gpt-4o-mini": "openai/gpt-4o-mini"},
    ),
    Provider(
        "Anthropic",
        ("ANTHROPIC_API_KEY",),
        {
            "claude-sonnet-4-5": "anthropic/claude-sonnet-4-5",
            "claude-haiku-4-5": "anthropic/claude-haiku-4-5",
        },
    ),
    Provider(
        "Groq",
        ("GROQ_API_KEY",),
        {"groq/llama-3.3-70b-versatile": "groq/llama-3.3-70b-versatile"},
    ),
    Provider(
        "Mistral",
        ("MISTRAL_API_KEY",),
        {"mistral/mistral-small-latest": "mistral/mistral-small-latest"},
    ),
    Provider(
        "Gemini",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        {"gemini/gemini-2.5-flash": "gemini/gemini-2.5-flash"},
    ),
    Provider("DeepSeek", ("DEEPSEEK_API_KEY",), {"deepseek/deepseek-chat": "deepseek/deepseek-chat"}),
    Provider(
        "OpenRouter",
        ("OPENROUTER_API_KEY",),
        {"openrouter/openai/gpt-4o-mini": "openrouter/openai/gpt-4o-mini"},
    ),
)


def providers_with_key(environ: Mapping[str, str]) -> list[tuple[Provider, str]]:
    """Each provider whose key is set, with the variable that has it."""
    found = []
    for provider in PROVIDERS:
        name = next((name for name in provider.key_names if environ.get(name)), None)
        if name is not None:
            found.append((provider, name))
    return found


def default_config(
    environ: Mapping[str, str], *, demo_url: str, local_llm_url: str | None, redis: bool
) -> str:
    """config.yaml. URLs end in /v1; `local_llm_url`: None without a local model."""
    models = []
    if local_llm_url is not None:  # first: who asked for it wants to try it
        models.append(_served_here(LOCAL_MODEL, local_llm_url, 0, 0))
    models.append(_served_here(DEMO_MODEL, demo_url, DEMO_INPUT_USD_PER_MTOK, DEMO_OUTPUT_USD_PER_MTOK))
    for provider, key_name in providers_with_key(environ):
        models += [_hosted(name, model, key_name) for name, model in provider.models.items()]
    cache_type = "redis" if redis else "local"
    return (
        "# Written by `meshgate up` at every start, because there was no other configuration.\n"
        "# To change it, copy it to ./config.yaml, or pass --config FILE.\n"
        "model_list:\n"
        + "".join(models)
        + f"litellm_settings:\n  cache: true\n  cache_params:\n    type: {cache_type}\n"
    )


def _served_here(name: str, url: str, input_usd_per_mtok: int, output_usd_per_mtok: int) -> str:
    return (
        f"  - model_name: {name}\n"
        "    litellm_params:\n"
        f"      model: openai/{name}\n"
        f"      api_base: {json.dumps(url)}\n"
        "      api_key: none\n"
        f"      input_cost_per_token: {input_usd_per_mtok / 1e6:.6f}\n"
        f"      output_cost_per_token: {output_usd_per_mtok / 1e6:.6f}\n"
    )


def _hosted(name: str, model: str, key_name: str) -> str:
    return (
        f"  - model_name: {json.dumps(name)}\n"
        "    litellm_params:\n"
        f"      model: {json.dumps(model)}\n"
        f"      api_key: os.environ/{key_name}\n"
    )
