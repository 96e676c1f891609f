"""Ollama's own API (/api/chat) behind OpenAI's chat shape.

An api_base that ends in /v1 means Ollama's OpenAI-compatible API instead.
"""

from collections.abc import Mapping
from typing import Final

from meshgate_chassis.chat.json import dumps
from meshgate_chassis.config.model import Deployment
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.base import (
    USER_AGENT,
    EmbeddingsAnswer,
    EmbeddingsRequest,
    Exchange,
    Framing,
    ProviderError,
    StreamDecoder,
    UpstreamRequest,
)
from meshgate_router.providers.error_kinds import details_of, error_of
from meshgate_router.providers.ollama_answer import OllamaStreamDecoder, chat_answer
from meshgate_router.providers.ollama_embeddings import PATH as EMBEDDINGS_PATH
from meshgate_router.providers.ollama_embeddings import embeddings_answer, embeddings_body
from meshgate_router.providers.ollama_request import chat_body
from meshgate_router.providers.openai import OpenAIProvider
from meshgate_router.providers.openai_dialects import Dialect
from meshgate_router.providers.request_body import request_body

BASE: Final = "http://localhost:11434"
_COMPATIBLE: Final = Dialect("ollama", None, dropped=frozenset({"user"}))
_PATH: Final = "/api/chat"


class OllamaProvider:
    """Implements Provider and EmbeddingsProvider, under both of LiteLLM's names for it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._compatible = OpenAIProvider(_COMPATIBLE)

    @property
    def name(self) -> str:
        return self._name

    def base(self, deployment: Deployment) -> str:
        return deployment.api_base or BASE

    def request(self, chat: pb.ChatRequest, deployment: Deployment, *, stream: bool) -> UpstreamRequest:
        if self._is_compatible(deployment):
            return self._compatible.request(chat, deployment, stream=stream)
        body = chat_body(request_body(chat, deployment), stream=stream)
        return UpstreamRequest(
            method="POST",
            url=ollama_url(self.base(deployment), _PATH),
            headers=ollama_headers(deployment),
            body=dumps(body),
            framing=Framing.LINES,
        )

    def response(self, body: bytes, exchange: Exchange) -> pb.ChatResponse:
        if exchange.request.framing is Framing.SSE:
            return self._compatible.response(body, exchange)
        return chat_answer(body, created_s=exchange.created_s)

    def decoder(self, exchange: Exchange) -> StreamDecoder:
        if exchange.request.framing is Framing.SSE:
            return self._compatible.decoder(exchange)
        return OllamaStreamDecoder(created_s=exchange.created_s)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        return error_of(status, details_of(body), headers)

    def embeddings_request(self, wanted: EmbeddingsRequest, deployment: Deployment) -> UpstreamRequest:
        if self._is_compatible(deployment):
            return self._compatible.embeddings_request(wanted, deployment)
        url = ollama_url(self.base(deployment), EMBEDDINGS_PATH)
        body = dumps(embeddings_body(wanted, deployment))
        return UpstreamRequest("POST", url, ollama_headers(deployment), body)

    def embeddings_answer(self, body: bytes, wanted: EmbeddingsRequest) -> EmbeddingsAnswer:
        if b'"embeddings"' not in body:
            return self._compatible.embeddings_answer(body, wanted)
        return embeddings_answer(body, wanted)

    def _is_compatible(self, deployment: Deployment) -> bool:
        return self.base(deployment).rstrip("/").endswith("/v1")


def ollama_url(base: str, path: str) -> str:
    """People write the base with and without /api and the method."""
    base = base.rstrip("/")
    for ending in ("/api/chat", "/api/generate", "/api/embed", "/api"):
        base = base.removesuffix(ending)
    return base + path


def ollama_headers(deployment: Deployment) -> dict[str, str]:
    """With the credential, if there is one: never log them."""
    headers = {"content-type": "application/json", "user-agent": USER_AGENT}
    if deployment.api_key:
        headers["authorization"] = f"Bearer {deployment.api_key.value}"
    headers.update({name.lower(): value for name, value in deployment.extra_headers.items()})
    return headers
