"""Google's Gemini API (generateContent) behind OpenAI's chat shape."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from meshgate_chassis.chat.json import dumps
from meshgate_chassis.config.model import Deployment
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.base import (
    USER_AGENT,
    EmbeddingsAnswer,
    EmbeddingsRequest,
    Exchange,
    ProviderError,
    StreamDecoder,
    UpstreamRequest,
)
from meshgate_router.providers.gemini_answer import chat_answer
from meshgate_router.providers.gemini_embeddings import METHOD, embeddings_answer, embeddings_body
from meshgate_router.providers.gemini_error import gemini_error
from meshgate_router.providers.gemini_request import generate_body
from meshgate_router.providers.gemini_stream import GeminiStreamDecoder
from meshgate_router.providers.request_body import request_body

_HOST: Final = "https://generativelanguage.googleapis.com"
BASE: Final = f"{_HOST}/v1beta"


class GeminiProvider:
    """Implements Provider and EmbeddingsProvider."""

    @property
    def name(self) -> str:
        return "gemini"

    def base(self, deployment: Deployment) -> str:
        return deployment.api_base or BASE

    def request(self, chat: pb.ChatRequest, deployment: Deployment, *, stream: bool) -> UpstreamRequest:
        body = generate_body(request_body(chat, deployment))
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        url = model_url(self.base(deployment), deployment.upstream_model, method)
        return UpstreamRequest("POST", url, gemini_headers(deployment, stream=stream), dumps(body))

    def response(self, body: bytes, exchange: Exchange) -> pb.ChatResponse:
        return chat_answer(body, created_s=exchange.created_s)

    def decoder(self, exchange: Exchange) -> StreamDecoder:
        return GeminiStreamDecoder(created_s=exchange.created_s)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        return gemini_error(status, headers, body)

    def embeddings_request(self, wanted: EmbeddingsRequest, deployment: Deployment) -> UpstreamRequest:
        url = model_url(self.base(deployment), deployment.upstream_model, METHOD)
        body = dumps(embeddings_body(wanted, deployment))
        return UpstreamRequest("POST", url, gemini_headers(deployment, stream=False), body)

    def embeddings_answer(self, body: bytes, wanted: EmbeddingsRequest) -> EmbeddingsAnswer:
        return embeddings_answer(body, wanted)


def model_url(base: str, model: str, method: str) -> str:
    """People write Google's address with and without the version, and models with and without `models/`."""
    base = base.rstrip("/").removesuffix("/openai")
    if base == _HOST:
        base = BASE
    if "/" not in model:
        model = f"models/{model}"
    return f"{base}/{quote(model, safe='/')}:{method}"


def gemini_headers(deployment: Deployment, *, stream: bool) -> dict[str, str]:
    """With the credential: never log them."""
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream" if stream else "application/json",
        "user-agent": USER_AGENT,
    }
    if deployment.api_key:
        headers["x-goog-api-key"] = deployment.api_key.value
    headers.update({name.lower(): value for name, value in deployment.extra_headers.items()})
    return headers
