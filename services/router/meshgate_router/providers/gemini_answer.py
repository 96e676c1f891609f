"""Gemini's answers -> chat completions in OpenAI's shape: pure.

Parts of Google's own tools (searches, code and its results) have no place there and are left out; the text
around them stays. The signatures of thoughts are kept where LiteLLM's clients look for them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject, dumps, loads_object
from meshgate_chassis.chat.response_json import response_from_json
from meshgate_chassis.errors import MeshError
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.base import senseless
from meshgate_router.providers.error_kinds import text_of
from meshgate_router.providers.gemini_error import error_from
from meshgate_router.providers.gemini_usage import usage_of
from meshgate_router.providers.made_ids import call_id, chat_id

_LENGTH: Final = frozenset({"MAX_TOKENS"})
_FILTERED: Final = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "OTHER",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
    }
)
# What the model looked at, under LiteLLM's names.
_METADATA: Final[Mapping[str, str]] = {
    "groundingMetadata": "vertex_ai_grounding_metadata",
    "urlContextMetadata": "vertex_ai_url_context_metadata",
    "safetyRatings": "vertex_ai_safety_results",
    "citationMetadata": "vertex_ai_citation_metadata",
}


def chat_answer(body: bytes, *, created_s: int) -> pb.ChatResponse:
    """Raises ProviderError when the body is no answer."""
    answer = answer_object(body)
    usage = answer.get("usageMetadata")
    candidates = candidates_of(answer)
    if not candidates and not isinstance(usage, dict):
        raise senseless("it has no candidates")
    answer_id = id_of(answer, created_s)
    translated: JsonObject = {
        "id": answer_id,
        "object": "chat.completion",
        "created": created_s,
        "model": text_of(answer, "modelVersion"),
        # An answer that says nothing at all is an answer too, and was paid for.
        "choices": [_choice(candidate, answer_id, at) for at, candidate in enumerate(candidates or [{}])],
        **metadata_of(candidates),
    }
    if isinstance(usage, dict):
        translated["usage"] = usage_of(usage)
    return response_from_json(translated)


def answer_object(body: bytes) -> JsonObject:
    """The JSON object of an answer or an event. Raises ProviderError."""
    try:
        answer = loads_object(body)
    except MeshError as error:
        raise senseless(error.message) from error
    if answer.get("error"):
        told = answer["error"]
        details = told if isinstance(told, dict) else {"message": told}
        code = details.get("code")
        raise error_from(code if isinstance(code, int) and 400 <= code < 600 else 500, {}, details)
    return answer


def candidates_of(answer: JsonObject) -> Sequence[JsonObject]:
    """The candidates; a prompt that was blocked counts as one that says so."""
    found = answer.get("candidates")
    candidates = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    feedback = answer.get("promptFeedback")
    if not candidates and isinstance(feedback, dict) and feedback.get("blockReason"):
        return [{"finishReason": "PROHIBITED_CONTENT", "safetyRatings": feedback.get("safetyRatings")}]
    return candidates


def parts_of(candidate: JsonObject) -> list[JsonObject]:
    """The parts of a candidate's content, which may be absent."""
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _choice(candidate: JsonObject, answer_id: str, position: int) -> JsonObject:
    index = index_of(candidate, position)
    parts = parts_of(candidate)
    texts = [text_of(part, "text") for part in parts if "text" in part and not part.get("thought")]
    message: JsonObject = {"role": "assistant", "content": "".join(texts) if texts else None}
    thoughts = [text_of(part, "text") for part in parts if part.get("thought")]
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    calls = [part for part in parts if isinstance(part.get("functionCall"), dict)]
    if calls:
        message["tool_calls"] = [
            tool_call(part, (answer_id, index, number)) for number, part in enumerate(calls)
        ]
    message |= extras_of(parts)
    reason = finish_reason(candidate.get("finishReason"), called=bool(calls))
    choice: JsonObject = {"index": index, "message": message, "finish_reason": reason}
    logprobs = logprobs_of(candidate)
    if logprobs is not None:
        choice["logprobs"] = logprobs
    return choice


def index_of(candidate: JsonObject, position: int) -> int:
    """Its own, else its position."""
    index = candidate.get("index")
    return index if isinstance(index, int) else position


def tool_call(part: JsonObject, place: tuple[str, int, int]) -> JsonObject:
    """`place`: the answer, the candidate and the number of the call, for calls without an id."""
    function = part["functionCall"]
    arguments = dumps(function.get("args") or {}).decode()
    call: JsonObject = {
        "id": text_of(function, "id") or call_id(*place, function.get("name"), arguments),
        "type": "function",
        "function": {"name": text_of(function, "name"), "arguments": arguments},
    }
    if isinstance(part.get("thoughtSignature"), str):
        call["provider_specific_fields"] = {"thought_signature": part["thoughtSignature"]}
    return call


def extras_of(parts: Sequence[JsonObject]) -> JsonObject:
    """Members of a message or a delta that OpenAI does not have: made images, signatures of texts."""
    extras: JsonObject = {}
    images: list[JsonObject] = []
    for part in parts:
        data = part.get("inlineData")
        if isinstance(data, dict) and text_of(data, "mimeType").startswith("image/"):
            url = f"data:{data['mimeType']};base64,{text_of(data, 'data')}"
            images.append({"type": "image_url", "index": len(images), "image_url": {"url": url}})
    if images:
        extras["images"] = images
    signatures = [part["thoughtSignature"] for part in parts if "text" in part and "thoughtSignature" in part]
    if signatures:
        extras["provider_specific_fields"] = {"thought_signatures": signatures}
    return extras


def finish_reason(reason: Any, *, called: bool) -> str:
    """OpenAI's word; reasons that are not known count as a normal stop."""
    if called:
        return "tool_calls"
    if not isinstance(reason, str):
        return "stop"
    if reason in _LENGTH:
        return "length"
    return "content_filter" if reason in _FILTERED else "stop"


def metadata_of(candidates: Sequence[JsonObject]) -> JsonObject:
    """What was searched, read and cited, one item for each candidate that has any."""
    found = {
        name: [candidate[theirs] for candidate in candidates if candidate.get(theirs)]
        for theirs, name in _METADATA.items()
    }
    return {name: items for name, items in found.items() if items}


def logprobs_of(candidate: JsonObject) -> JsonObject | None:
    """In OpenAI's shape; None when there are none."""
    result = candidate.get("logprobsResult")
    chosen = result.get("chosenCandidates") if isinstance(result, dict) else None
    if not isinstance(result, dict) or not isinstance(chosen, list):
        return None
    top = result.get("topCandidates")
    top = top if isinstance(top, list) else []
    content = []
    for number, token in enumerate(chosen):
        others = top[number].get("candidates") if number < len(top) and isinstance(top[number], dict) else []
        content.append({**_logprob(token), "top_logprobs": [_logprob(other) for other in others or ()]})
    return {"content": content}


def _logprob(token: Any) -> JsonObject:
    token = token if isinstance(token, dict) else {}
    text = text_of(token, "token")
    return {"token": text, "logprob": token.get("logProbability", 0.0), "bytes": list(text.encode())}


def id_of(answer: JsonObject, created_s: int) -> str:
    """Google's own id, so that an answer can be found at both ends."""
    return text_of(answer, "responseId") or chat_id(created_s, dumps(answer))
