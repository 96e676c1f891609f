"""OpenAI and everything that speaks its chat shape, by dialect."""

from collections.abc import Mapping

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
from meshgate_router.providers.error_kinds import details_of, error_of
from meshgate_router.providers.openai_answer import OpenAIStreamDecoder, whole_answer
from meshgate_router.providers.openai_dialects import COMPATIBLE, Dialect
from meshgate_router.providers.openai_embeddings import PATH as EMBEDDINGS_PATH
from meshgate_router.providers.openai_embeddings import embeddings_answer, embeddings_body
from meshgate_router.providers.openai_request import dialect_body, without_cache_marks
from meshgate_router.providers.openai_text import PATH as TEXT_PATH
from meshgate_router.providers.openai_text import text_body
from meshgate_router.providers.request_body import request_body


class OpenAIProvider:
    """Implements Provider and EmbeddingsProvider for one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    @property
    def name(self) -> str:
        return self._dialect.name

    def base(self, deployment: Deployment) -> str:
        return deployment.api_base or self._dialect.base or ""

    def request(self, chat: pb.ChatRequest, deployment: Deployment, *, stream: bool) -> UpstreamRequest:
        dialect = self._dialect
        if dialect.name == COMPATIBLE.name and deployment.api_base not in (None, dialect.base):
            dialect = COMPATIBLE
        text = dialect.text or deployment.mode == "completion"
        wanted = request_body(chat, deployment)
        if text:
            body = text_body(wanted, stream=stream)
        else:
            body = dialect_body(wanted, dialect, stream=stream)
        encoded = dumps(body)
        if not text and not dialect.cache_marks_kept and b'"cache_control"' in encoded:
            encoded = dumps(without_cache_marks(body))
        return UpstreamRequest(
            method="POST",
            url=self.base(deployment).rstrip("/") + (TEXT_PATH if text else dialect.path),
            headers=self._headers(deployment, stream=stream),
            body=encoded,
        )

    def response(self, body: bytes, exchange: Exchange) -> pb.ChatResponse:  # noqa: ARG002 - told by the body
        return whole_answer(body)

    def decoder(self, exchange: Exchange) -> StreamDecoder:  # noqa: ARG002 - as above
        return OpenAIStreamDecoder()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        return error_of(status, details_of(body), headers)

    def embeddings_request(self, wanted: EmbeddingsRequest, deployment: Deployment) -> UpstreamRequest:
        return UpstreamRequest(
            method="POST",
            url=self.base(deployment).rstrip("/") + EMBEDDINGS_PATH,
            headers=self._headers(deployment, stream=False),
            body=dumps(embeddings_body(wanted, deployment, self._dialect)),
        )

    def embeddings_answer(self, body: bytes, wanted: EmbeddingsRequest) -> EmbeddingsAnswer:
        return embeddings_answer(body, wanted)

    def _headers(self, deployment: Deployment, *, stream: bool) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if stream else "application/json",
            "user-agent": USER_AGENT,
        }
        key = deployment.api_key.value if deployment.api_key else self._dialect.key_default
        if key:
            headers["authorization"] = f"Bearer {key}"
        headers.update({name.lower(): value for name, value in deployment.extra_headers.items()})
        return headers
