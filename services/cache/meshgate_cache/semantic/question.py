"""What of a chat request the semantic cache compares: the last user text, and everything else. Pure.

Invariants: two requests have the same context iff tenant, namespace, variant and the canonical request
without the last user text are equal, history, tools and parameters included; a context tells its tenant.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from meshgate_cache.canonical_chat import canonical_chat
from meshgate_cache.keys import frame, tenant_digest
from meshgate_cache.semantic.reading import CHARACTERS_MAX
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

CONTEXT_VERSION: Final = 1
CONTEXT_BYTES: Final = 32
_DOMAIN: Final = b"meshgate.cache.context"
_TENANT_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Question:
    """`context`: 8 bytes of the tenant, 24 of SHA-256. `vector`: float32 of the text by `vector_model`, as
    the caller got it from the router; empty when it did not."""

    context: bytes
    text: str
    vector: bytes = b""
    vector_model: str = ""

    @property
    def tenant_digest(self) -> str:
        """As keys begin."""
        return self.context[:_TENANT_BYTES].hex()


def question_of(
    tenant_id: str, namespace: str, chat: chat_pb.ChatRequest, variant: str = ""
) -> Question | None:
    """None for a request that ends in anything but one user text of a readable length."""
    if not chat.messages or chat.messages[-1].role != "user":
        return None
    rest = chat_pb.ChatRequest()
    rest.CopyFrom(chat)
    text = _take_text(rest.messages[-1])
    if not text.strip() or len(text) > CHARACTERS_MAX:
        return None
    tenant = bytes.fromhex(tenant_digest(tenant_id))
    version = CONTEXT_VERSION.to_bytes(4, "big")
    parts = [_DOMAIN, version, tenant_id.encode(), namespace.encode()]
    if variant:
        parts.append(variant.encode("utf-8", "surrogatepass"))
    digest = hashlib.sha256(frame(*parts))
    digest.update(canonical_chat(rest))
    return Question(tenant + digest.digest()[: CONTEXT_BYTES - _TENANT_BYTES], text)


def is_context_of(tenant_id: str, context: bytes) -> bool:
    """True for a well-formed context of this tenant."""
    return len(context) == CONTEXT_BYTES and context[:_TENANT_BYTES].hex() == tenant_digest(tenant_id)


def _take_text(message: chat_pb.Message) -> str:
    """The text, which is empty in the message from now on; empty when there is not exactly one."""
    kind = message.WhichOneof("content")
    if kind == "text":
        text, message.text = message.text, ""
        return text
    if kind != "parts":
        return ""
    texts = [part.text for part in message.parts.parts if part.WhichOneof("part") == "text"]
    if len(texts) != 1:
        return ""
    text, texts[0].text = texts[0].text, ""
    return text
