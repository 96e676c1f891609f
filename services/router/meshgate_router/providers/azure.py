"""Azure OpenAI: OpenAI's shape behind Azure's addresses and its own credential header.

Classic: {api_base}/openai/deployments/{deployment}/chat/completions?api-version={api_version}, where the
deployment is the model's name. The newer API, with api_version v1, latest or preview or an api_base that
ends in /openai/v1, takes the deployment in the body.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from meshgate_chassis.config.model import Deployment
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.base import EmbeddingsRequest, UpstreamRequest
from meshgate_router.providers.openai import OpenAIProvider
from meshgate_router.providers.openai_dialects import Dialect

VERSION_DEFAULT: Final = "2024-10-21"  # the newest that is generally available, of the classic API
USAGE_ASKED_SINCE: Final = "2024-09-01"  # older versions refuse stream_options
_NEWER: Final = ("v1", "latest", "preview")
_MESSAGE_MEMBERS_DROPPED: Final = frozenset({"reasoning_content", "thinking_blocks"})
_DIALECT: Final = Dialect(
    "azure", None, developer_known=True, message_members_dropped=_MESSAGE_MEMBERS_DROPPED
)


class AzureProvider(OpenAIProvider):
    """Implements Provider and EmbeddingsProvider."""

    def __init__(self) -> None:
        super().__init__(_DIALECT)
        self._without_usage = OpenAIProvider(
            replace(_DIALECT, usage_asked=False, dropped=frozenset({"stream_options"}))
        )

    def request(self, chat: pb.ChatRequest, deployment: Deployment, *, stream: bool) -> UpstreamRequest:
        translate = super().request if _usage_known(deployment) else self._without_usage.request
        return self._addressed(translate(chat, deployment, stream=stream), deployment)

    def embeddings_request(self, wanted: EmbeddingsRequest, deployment: Deployment) -> UpstreamRequest:
        return self._addressed(super().embeddings_request(wanted, deployment), deployment)

    def _addressed(self, request: UpstreamRequest, deployment: Deployment) -> UpstreamRequest:
        method = request.url.removeprefix(self.base(deployment).rstrip("/"))
        return replace(
            request, url=azure_url(deployment, method), headers=azure_headers(request.headers, deployment)
        )


def azure_url(deployment: Deployment, method: str) -> str:
    """`method`: /chat/completions, /completions or /embeddings."""
    base, _, query = (deployment.api_base or "").partition("?")
    base = base.rstrip("/").removesuffix(method)
    version = deployment.api_version or VERSION_DEFAULT
    if _is_newer(deployment):
        base = base.removesuffix("/openai/v1").removesuffix("/openai")
        asked = f"?api-version={version}" if version == "preview" else ""
        return f"{base}/openai/v1{method}{asked}"
    if "/openai/deployments/" not in base:
        base = (
            f"{base.removesuffix('/openai')}/openai/deployments/{quote(deployment.upstream_model, safe='')}"
        )
    asked = query if "api-version=" in query and not deployment.api_version else f"api-version={version}"
    return f"{base}{method}?{asked}"


def azure_headers(headers: Mapping[str, str], deployment: Deployment) -> dict[str, str]:
    """The key in Azure's own header; a token of Entra ID (azure_ad_token) stays where it is."""
    own = {name.lower() for name in deployment.extra_headers}
    kept = {name: value for name, value in headers.items() if name != "authorization" or name in own}
    if deployment.api_key and "api-key" not in own:
        kept["api-key"] = deployment.api_key.value
    return kept


def _is_newer(deployment: Deployment) -> bool:
    base = (deployment.api_base or "").rstrip("/")
    return deployment.api_version in _NEWER or base.endswith("/openai/v1")


def _usage_known(deployment: Deployment) -> bool:
    return _is_newer(deployment) or (deployment.api_version or VERSION_DEFAULT) >= USAGE_ASKED_SINCE
