"""How providers that speak OpenAI's shape differ from OpenAI: data, one row each.

Sources: the providers' API references and LiteLLM's request mapping. A deviation that a provider
judges by itself, with a clear error, is not repeated here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_REASONING: Final = frozenset({"reasoning_content", "thinking_blocks"})
_LIMIT: Final = {"max_completion_tokens": "max_tokens"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """One provider.

    `base`: None: api_base is required. `key_default`: sent when no key is configured. `renamed`: request
    members under another name. `dropped`: members that are advice only, always left out. `unsupported`:
    refused, or left out with drop_params. `message_members_dropped`: of each message. `required_choice`:
    its word for tool_choice "required". `text_parts_joined`: content that is only text parts becomes one
    string. `usage_asked`: send stream_options.include_usage. `developer_known`: it has that role; else such
    messages are system messages. `cache_marks_kept`: it knows cache_control. `model_prefix`: of model names
    without a slash. `text`: legacy text completions only. `text_embeddings_only`: no lists of tokens.
    """

    name: str
    base: str | None
    path: str = "/chat/completions"
    key_default: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    unsupported: frozenset[str] = frozenset()
    message_members_dropped: frozenset[str] = frozenset()
    required_choice: str = "required"
    text_parts_joined: bool = False
    usage_asked: bool = True
    developer_known: bool = False
    cache_marks_kept: bool = False
    model_prefix: str = ""
    text: bool = False
    text_embeddings_only: bool = False


# Any server behind `openai/` and an api_base of its own: nothing is known of it, nothing is changed.
COMPATIBLE: Final = Dialect("openai", None, developer_known=True, cache_marks_kept=True)

DIALECTS: Final[tuple[Dialect, ...]] = (
    Dialect("openai", "https://api.openai.com/v1", message_members_dropped=_REASONING, developer_known=True),
    Dialect(
        "groq",
        "https://api.groq.com/openai/v1",
        renamed=_LIMIT,
        dropped=frozenset({"user"}),
        message_members_dropped=_REASONING,
    ),
    Dialect(
        "mistral",
        "https://api.mistral.ai/v1",
        renamed={**_LIMIT, "seed": "random_seed", "dimensions": "output_dimension"},
        dropped=frozenset({"user", "stream_options"}),
        unsupported=frozenset({"logit_bias", "logprobs", "top_logprobs"}),
        message_members_dropped=_REASONING,
        required_choice="any",
        text_parts_joined=True,
        usage_asked=False,  # its streams end with the usage anyway
        text_embeddings_only=True,
    ),
    Dialect(
        "deepseek",
        "https://api.deepseek.com/v1",
        renamed=_LIMIT,
        dropped=frozenset({"user"}),
        message_members_dropped=frozenset({"thinking_blocks"}),
    ),
    Dialect("openrouter", "https://openrouter.ai/api/v1", developer_known=True, cache_marks_kept=True),
    Dialect("hosted_vllm", None, key_default="fake-api-key", dropped=frozenset({"user"})),
    Dialect("vllm", None, key_default="fake-api-key", dropped=frozenset({"user"})),
    Dialect("openai_like", None, developer_known=True, cache_marks_kept=True),
    Dialect("custom_openai", None, developer_known=True, cache_marks_kept=True),
    Dialect("litellm_proxy", None, developer_known=True, cache_marks_kept=True),
    Dialect("lm_studio", None, key_default="fake-api-key"),
    Dialect("text-completion-openai", "https://api.openai.com/v1", text=True),
    # Nothing is known of these but the address.
    Dialect("cerebras", "https://api.cerebras.ai/v1"),
    Dialect("dashscope", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
    Dialect("deepinfra", "https://api.deepinfra.com/v1/openai"),
    Dialect(
        "fireworks_ai", "https://api.fireworks.ai/inference/v1", model_prefix="accounts/fireworks/models/"
    ),
    Dialect("hyperbolic", "https://api.hyperbolic.xyz/v1"),
    Dialect("moonshot", "https://api.moonshot.ai/v1"),
    Dialect("nebius", "https://api.studio.nebius.ai/v1"),
    Dialect("novita", "https://api.novita.ai/v3/openai"),
    Dialect("nvidia_nim", "https://integrate.api.nvidia.com/v1"),
    Dialect("perplexity", "https://api.perplexity.ai"),
    Dialect("sambanova", "https://api.sambanova.ai/v1"),
    Dialect("together_ai", "https://api.together.xyz/v1"),
    Dialect("xai", "https://api.x.ai/v1", developer_known=True),
)
