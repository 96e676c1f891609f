"""Which provider serves a model, and what the environment says about that provider.

Data and pure functions. A provider that the router cannot serve yet is known here all the same: its
deployments load, and only their calls fail.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from meshgate_chassis.config.accepted_keys import words

# The first path segment of litellm_params.model that names a provider.
KNOWN_PREFIXES = frozenset(
    words(
        """
        abliteration ai21 ai21_chat aiand aiml aiohttp_openai aleph_alpha amazon_nova anthropic anthropic_text
        anyscale apertis assemblyai aws_polly aws_textract azure azure_ai azure_speech azure_text baseten
        bedrock bedrock_converse bedrock_mantle bespoke black_forest_labs bytez cerebras charity_engine
        chatgpt chutes clarifai clf_ai_gateway cloudflare codestral cognition cohere cohere_chat cometapi
        compactifai coralbricks cortecs cursor custom_openai darkbloom dashscope databricks databricks_agent
        datarobot deepgram deepinfra deepseek demo docker_model_runner edenai elevenlabs empower eu_jev fal_ai
        featherless_ai fireworks_ai friendliai galadriel gdc gemini gigachat github github_copilot gradient_ai
        groq helicone heroku hosted_vllm hostinger_router huggingface hyperbolic inception inferenceapis
        infinity jina_ai kyma lambda_ai langflow langgraph laya lemonade libertai litellm_proxy llamafile
        lm_studio manus maritalk meta meta_llama microsoft_365_copilot minimax mistral modelscope moonshot
        morph nace nadir nano-gpt nebius neosantara nlp_cloud novita nscale nvidia_nim nvidia_riva oci ollama
        ollama_chat oobabooga openai openai_like opencode_go openinfer openrouter ovhcloud parasail perplexity
        petals pinstripes poe predibase prism publicai qwen_ai_platform qwencloud recraft reducto refuseless
        reka replicate runwayml sagemaker sagemaker_chat sagemaker_nova sail sambanova sap scaledown scaleway
        scx-ai snowflake soniox stability strands_decider streamlake synthetic tencent tensormesh
        text-completion-codestral text-completion-inception text-completion-openai together_ai topaz
        transcribe triton typesafe v0 vercel_ai_gateway vertex_ai vertex_ai_beta vllm volcengine voyage wandb
        watsonx watsonx_text xai xiaomi_mimo xinference zai zerogpu
        """
    )
)

# Names without a prefix, by what they begin with.
BARE_NAMES: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("claude",),
    "openai": ("gpt", "ft:gpt", "o1", "o3", "o4", "chatgpt", "text-embedding", "dall-e", "whisper", "tts-"),
    "gemini": ("gemini", "gemma"),
}

# Where a missing api_key comes from; the first variable that is set and not empty counts.
KEY_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "azure": ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
    "cerebras": ("CEREBRAS_API_KEY",),
    "cohere": ("COHERE_API_KEY",),
    "dashscope": ("DASHSCOPE_API_KEY",),
    "deepinfra": ("DEEPINFRA_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "fireworks_ai": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "hosted_vllm": ("HOSTED_VLLM_API_KEY",),
    "hyperbolic": ("HYPERBOLIC_API_KEY",),
    "litellm_proxy": ("LITELLM_PROXY_API_KEY",),
    "lm_studio": ("LM_STUDIO_API_KEY",),
    "mistral": ("MISTRAL_API_KEY",),
    "moonshot": ("MOONSHOT_API_KEY",),
    "nebius": ("NEBIUS_API_KEY",),
    "novita": ("NOVITA_API_KEY",),
    "nvidia_nim": ("NVIDIA_NIM_API_KEY",),
    "ollama": ("OLLAMA_API_KEY",),
    "ollama_chat": ("OLLAMA_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "sambanova": ("SAMBANOVA_API_KEY",),
    "text-completion-openai": ("OPENAI_API_KEY",),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHER_API_KEY"),
    "xai": ("XAI_API_KEY",),
}

# Where a missing api_base comes from.
BASE_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"),
    "azure": ("AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT"),
    "hosted_vllm": ("HOSTED_VLLM_API_BASE",),
    "litellm_proxy": ("LITELLM_PROXY_API_BASE",),
    "lm_studio": ("LM_STUDIO_API_BASE",),
    "ollama": ("OLLAMA_API_BASE", "OLLAMA_BASE_URL"),
    "ollama_chat": ("OLLAMA_API_BASE", "OLLAMA_BASE_URL"),
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    "text-completion-openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
}

# Where a missing api_version comes from.
VERSION_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "azure": ("AZURE_API_VERSION", "OPENAI_API_VERSION"),
}


@dataclass(frozen=True, slots=True)
class ProviderModel:
    """A model at a provider."""

    provider: str
    upstream_model: str
    inferred: bool  # from the api_base alone: the key of the environment is not meant for that host


def provider_of(model: str, *, custom: str | None, has_api_base: bool) -> ProviderModel | None:
    """The provider of `litellm_params.model`; None when nothing tells. `custom` is custom_llm_provider."""
    head, slash, rest = model.partition("/")
    if custom:
        return ProviderModel(custom, rest if slash and head == custom else model, inferred=False)
    if slash and head in KNOWN_PREFIXES:
        return ProviderModel(head, rest, inferred=False)
    for provider, beginnings in BARE_NAMES.items():
        if not slash and model.startswith(beginnings):
            return ProviderModel(provider, model, inferred=False)
    if has_api_base:
        return ProviderModel("openai", model, inferred=True)
    return None


def first_set(names: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    """The first variable that is set and not empty."""
    return next((environ[name] for name in names if environ.get(name)), None)
