"""Which deployments can go on with an answer that another one began, and how they are asked: data.

Nearly every chat API accepts a last message of the assistant; few promise to continue it. Where nobody
promises, an answer may begin anew, so those are not asked. `model_info.supports_assistant_prefill`
(LiteLLM's name) overrides this table for a deployment.

Sources: the providers' API references (Anthropic "Prefill Claude's response", Mistral and DeepSeek "prefix",
Groq "Assistant message prefilling", OpenRouter "Assistant prefill") and vLLM's, SGLang's and llama.cpp's
servers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final
from urllib.parse import urlsplit

from meshgate_chassis.config.model import Deployment


class Echo(Enum):
    """What the answer to a prefix begins with."""

    NEVER = "what comes after the prefix"
    ALWAYS = "the prefix itself"
    UNKNOWN = "either, or the last words of the prefix again"


@dataclass(frozen=True, slots=True)
class Prefill:
    """`message`: members of the last message. `request`: members of the request. `trimmed`: the prefix must
    not end in white space."""

    echo: Echo = Echo.NEVER
    message: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    trimmed: bool = False


_VLLM: Final = {"continue_final_message": True, "add_generation_prompt": False}
_LAST_MESSAGE: Final = Prefill(Echo.UNKNOWN)
_PREFIX: Final = {"prefix": True}

BY_PROVIDER: Final[Mapping[str, Prefill]] = {
    "anthropic": Prefill(trimmed=True),
    "mistral": Prefill(Echo.ALWAYS, message=_PREFIX),
    "hosted_vllm": Prefill(request=_VLLM),
    "vllm": Prefill(request=_VLLM),
    "groq": _LAST_MESSAGE,
    "openrouter": _LAST_MESSAGE,
    "ollama": _LAST_MESSAGE,
    "ollama_chat": _LAST_MESSAGE,
}
# OpenAI-compatible servers of one's own: vLLM's members mean the same to SGLang, and llama.cpp's server
# continues a last message by itself.
OWN_SERVER: Final = Prefill(Echo.UNKNOWN, request=_VLLM)
COMPATIBLE: Final = frozenset({"openai", "openai_like", "custom_openai"})
NOT_OWN: Final = ("openai.com", "azure.com", "googleapis.com")
# Claude since 4.6 refuses a prefix.
_CLAUDE: Final = re.compile(r"claude-[a-z]+-(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?!\d)")
_CLAUDE_REFUSES_SINCE: Final = (4, 6)


def prefill_of(deployment: Deployment) -> Prefill | None:
    """None: it cannot go on with another one's answer, or nobody knows."""
    said = deployment.model_info.get("supports_assistant_prefill")
    if said is False:
        return None
    found = _known(deployment)
    return _LAST_MESSAGE if found is None and said is True else found


def _known(deployment: Deployment) -> Prefill | None:
    provider, base = deployment.provider, deployment.api_base or ""
    if provider == "anthropic" and _version(deployment.upstream_model) >= _CLAUDE_REFUSES_SINCE:
        return None
    if provider == "deepseek":
        return Prefill(message=_PREFIX) if base.rstrip("/").endswith("/beta") else None
    if provider in COMPATIBLE:
        host = urlsplit(base).hostname or ""
        return None if not host or host.endswith(NOT_OWN) else OWN_SERVER
    return BY_PROVIDER.get(provider)


def _version(model: str) -> tuple[int, int]:
    """Of Claude; (0, 0): an older way of naming, or another model."""
    match = _CLAUDE.search(model)
    return (int(match["major"]), int(match["minor"] or 0)) if match else (0, 0)
