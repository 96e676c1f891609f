"""Anthropic's Messages API behind OpenAI's chat shape."""

from collections.abc import Mapping
from typing import Final

from meshgate_chassis.chat.json import dumps
from meshgate_chassis.config.model import Deployment
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.anthropic_request import messages_body
from meshgate_router.providers.anthropic_response import chat_answer
from meshgate_router.providers.anthropic_stream import AnthropicStreamDecoder, anthropic_error
from meshgate_router.providers.base import (
    USER_AGENT,
    Exchange,
    ProviderError,
    StreamDecoder,
    UpstreamRequest,
)
from meshgate_router.providers.error_kinds import details_of
from meshgate_router.providers.request_body import request_body

BASE: Final = "https://api.anthropic.com"
VERSION: Final = "2023-06-01"


class AnthropicProvider:
    """Implements Provider."""

    @property
    def name(self) -> str:
        return "anthropic"

    def base(self, deployment: Deployment) -> str:
        return deployment.api_base or BASE

    def request(self, chat: pb.ChatRequest, deployment: Deployment, *, stream: bool) -> UpstreamRequest:
        body, json_answer = messages_body(request_body(chat, deployment), stream=stream)
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if stream else "application/json",
            "user-agent": USER_AGENT,
            "anthropic-version": VERSION,
        }
        if deployment.api_key:
            headers["x-api-key"] = deployment.api_key.value
        headers.update({name.lower(): value for name, value in deployment.extra_headers.items()})
        return UpstreamRequest("POST", _url(self.base(deployment)), headers, dumps(body), json_answer)

    def response(self, body: bytes, exchange: Exchange) -> pb.ChatResponse:
        return chat_answer(body, created_s=exchange.created_s, json_answer=exchange.request.json_answer)

    def decoder(self, exchange: Exchange) -> StreamDecoder:
        return AnthropicStreamDecoder(created_s=exchange.created_s, json_answer=exchange.request.json_answer)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        return anthropic_error(status, details_of(body), headers)


def _url(base: str) -> str:
    """People write the base with and without the version."""
    base = base.rstrip("/").removesuffix("/messages").removesuffix("/v1")
    return f"{base}/v1/messages"
