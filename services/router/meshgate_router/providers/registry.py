"""The providers, by the prefix that config.yaml names them with: an explicit table."""

from collections.abc import Mapping

from meshgate_router.providers.anthropic import AnthropicProvider
from meshgate_router.providers.azure import AzureProvider
from meshgate_router.providers.base import Provider
from meshgate_router.providers.gemini import GeminiProvider
from meshgate_router.providers.ollama import OllamaProvider
from meshgate_router.providers.openai import OpenAIProvider
from meshgate_router.providers.openai_dialects import DIALECTS


def providers() -> Mapping[str, Provider]:
    """Every provider the router can speak to."""
    table: dict[str, Provider] = {dialect.name: OpenAIProvider(dialect) for dialect in DIALECTS}
    table["anthropic"] = AnthropicProvider()
    table["azure"] = AzureProvider()
    table["gemini"] = GeminiProvider()
    for name in ("ollama", "ollama_chat"):
        table[name] = OllamaProvider(name)
    return table
