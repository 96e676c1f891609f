"""How each family of models counts tokens, as far as it can be known without its provider. Data.

OpenAI's vocabularies are public. The others are o200k's count times a factor that was measured on recorded
traffic, where the provider's own count is beside each answer (tests/unit/edge/test_token_families.py): an
estimate within a few percent for prose, and always flagged as one.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

Vocabulary = Literal["o200k", "cl100k"]
ImageRule = Literal["openai", "openai-mini", "anthropic", "gemini"]


@dataclass(frozen=True, slots=True)
class Family:
    """`permille`: tokens for each 1,000 of the vocabulary's. `answer_tokens`: of an answer besides its text.
    `message_tokens`: of a prompt's message besides its text. `prompt_tokens`: of a prompt besides its
    messages."""

    name: str
    vocabulary: Vocabulary = "o200k"
    permille: int = 1_000
    answer_tokens: int = 0
    message_tokens: int = 3
    prompt_tokens: int = 3
    image: ImageRule = "openai"
    audio_tokens_per_s: int = 10


OPENAI: Final = Family("openai")
OTHER: Final = Family("other", permille=1_050, answer_tokens=1)
CLAUDE: Final = Family("claude", permille=1_130, answer_tokens=4, image="anthropic")
_CLAUDE_5: Final = Family("claude-5", permille=1_380, answer_tokens=4, image="anthropic")
_GEMINI: Final = Family(
    "gemini", permille=1_045, message_tokens=0, prompt_tokens=0, image="gemini", audio_tokens_per_s=32
)

# The first pattern that is found in the model's name at its provider; then the provider decides.
_BY_MODEL: Final = (
    ("gpt-oss", Family("gpt-oss", answer_tokens=10, prompt_tokens=65)),
    (r"gpt-3\.5|gpt-35|gpt-4(?![.o\d])|davinci-002|babbage-002", Family("openai-cl100k", "cl100k")),
    ("gpt-4o-mini", Family("openai-mini", image="openai-mini")),
    (r"gpt-[5-9]|\bo[1-9](?:-|$)", Family("openai-reasoning", answer_tokens=9)),
    ("gpt|chatgpt", OPENAI),
    (r"claude-(?:opus|sonnet|haiku)-4-[7-9]|claude-(?:[a-z]+-)?[5-9](?:\D|$)", _CLAUDE_5),
    ("claude", CLAUDE),
    ("gemini|gemma", _GEMINI),
    ("llama|mistral|mixtral|ministral|codestral|qwen|deepseek|glm|phi", OTHER),
)
_COMPILED: Final = tuple((re.compile(pattern), family) for pattern, family in _BY_MODEL)
_BY_PROVIDER: Final = {
    "openai": OPENAI,
    "azure": OPENAI,
    "anthropic": CLAUDE,
    "gemini": _GEMINI,
    "vertex_ai": _GEMINI,
}


def family_of(provider: str, upstream_model: str) -> Family:
    """The family of a model at a provider; "other" for what nobody knows."""
    name = upstream_model.lower()
    for pattern, family in _COMPILED:
        if pattern.search(name):
            return family
    return _BY_PROVIDER.get(provider, OTHER)
