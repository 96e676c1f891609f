"""protobuf <-> the cache's own values. Pure."""

from collections.abc import Iterable

from google.protobuf.message import DecodeError

from meshgate_cache.answer_cache import Found
from meshgate_cache.canonical_json import has_a_value
from meshgate_cache.entry import CacheEntry
from meshgate_cache.flights import Landing, Role
from meshgate_cache.metrics import NamespaceCounts
from meshgate_cache.semantic.question import Question
from meshgate_cache.semantic.reading import CHARACTERS_MAX
from meshgate_cache.store import ServerState
from meshgate_chassis.chat.json import dumps
from meshgate_chassis.errors import invalid_field
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

NAME_CHARACTERS_MAX = 256
DIMENSIONS_MAX = 4_096
FLOAT_BYTES = 4
_ROLES = {
    Role.ALONE: pb.FLIGHT_ROLE_ALONE,
    Role.LEADER: pb.FLIGHT_ROLE_LEADER,
    Role.FOLLOWER: pb.FLIGHT_ROLE_FOLLOWER,
}


def entry_to_proto(entry: CacheEntry) -> pb.Entry | None:
    """None when the stored response is no ChatResponse: such an entry is a miss."""
    try:
        response = chat_pb.ChatResponse.FromString(entry.response)
    except DecodeError:
        return None
    proto = pb.Entry(
        response=response, deployment_id=entry.deployment_id, cost_usd_nanos=entry.cost_usd_nanos
    )
    proto.create_time.FromNanoseconds(entry.created_ns)
    return proto


def found_to_proto(found: Found) -> pb.Entry | None:
    """As `entry_to_proto`, with whose answer it is."""
    proto = entry_to_proto(found.entry)
    if proto is not None and found.similarity is not None:
        proto.similarity, proto.source_key = found.similarity, found.source_key
    return proto


def question_to_proto(question: Question | None) -> pb.Question | None:
    """None stays None."""
    return None if question is None else pb.Question(context=question.context, text=question.text)


def question_from_proto(
    request: pb.StoreEntryRequest | pb.LookupAlikeRequest | pb.LearnQuestionRequest,
) -> Question | None:
    """None when there is none, or none that could be compared. Raises INVALID_ARGUMENT/FIELD_INVALID for a
    vector that is none."""
    text, vector = request.question.text, request.question.vector
    if not request.HasField("question") or not text.strip() or len(text) > CHARACTERS_MAX:
        return None
    if len(vector.values) % FLOAT_BYTES or len(vector.values) > DIMENSIONS_MAX * FLOAT_BYTES:
        raise invalid_field("question.vector.values", f"is not 1 to {DIMENSIONS_MAX} float32")
    checked_length("question.vector.model", vector.model, NAME_CHARACTERS_MAX)
    return Question(request.question.context, text, vector.values, vector.model)


def namespace_status(namespace: str, counts: NamespaceCounts, question_count: int) -> pb.NamespaceStatus:
    """What was counted of one namespace."""
    return pb.NamespaceStatus(
        namespace=namespace,
        hit_count=counts.hits,
        semantic_hit_count=counts.semantic_hits,
        miss_count=counts.misses,
        report_count=counts.reports,
        saved_usd_nanos=counts.saved_usd_nanos,
        saved_tokens=counts.saved_tokens,
        question_count=question_count,
    )


def redis_server(server: ServerState) -> pb.RedisServer:
    """What a server told, as JSON."""
    clients = "" if server.clients is None else dumps([dict(client) for client in server.clients]).decode()
    return pb.RedisServer(info_json=dumps(dict(server.info)).decode(), clients_json=clients)


def entry_from_proto(proto: pb.Entry, now_ns: int) -> CacheEntry:
    """The entry to store; its creation time is the cache's."""
    return CacheEntry(proto.response.SerializeToString(), now_ns, proto.deployment_id, proto.cost_usd_nanos)


def flight_to_proto(landing: Landing, lease_s: float) -> pb.Flight:
    """Who makes the answer."""
    flight = pb.Flight(role=_ROLES[landing.role], token=landing.token)
    if landing.role is Role.LEADER:
        flight.lease.FromNanoseconds(int(lease_s * 1e9))
    return flight


def embedding_slot(key: str, entry: CacheEntry | None) -> pb.EmbeddingSlot:
    """Without an entry when there is none, or none that can be read."""
    slot = pb.EmbeddingSlot(cache_key=key)
    if entry is None:
        return slot
    try:
        slot.entry.ParseFromString(entry.response)
    except DecodeError:
        return pb.EmbeddingSlot(cache_key=key)
    slot.entry.cost_usd_nanos, slot.entry.deployment_id = entry.cost_usd_nanos, entry.deployment_id
    slot.entry.create_time.FromNanoseconds(entry.created_ns)
    return slot


def embedding_from_proto(proto: pb.EmbeddingEntry, now_ns: int) -> CacheEntry:
    """The entry to store, empty when it has no vector; its creation time is the cache's."""
    checked_length("entry.deployment_id", proto.deployment_id, NAME_CHARACTERS_MAX)
    kept = pb.EmbeddingEntry(embedding=proto.embedding, model=proto.model, prompt_tokens=proto.prompt_tokens)
    response = kept.SerializeToString() if proto.embedding.values else b""
    return CacheEntry(response, now_ns, proto.deployment_id, proto.cost_usd_nanos)


def says_nothing(choices: Iterable[chat_pb.Choice]) -> bool:
    """True when a choice has neither text, tool calls, a refusal nor any other member with a value."""
    return any(not _says_something(choice.message) for choice in choices)


def max_age_s(
    request: pb.LookupEntryRequest | pb.LookupEmbeddingsRequest | pb.LookupAlikeRequest,
) -> float | None:
    """Seconds, or None for any age."""
    return request.max_age.ToNanoseconds() / 1e9 if request.HasField("max_age") else None


def requested_ttl_s(
    request: pb.StoreEntryRequest | pb.StoreEmbeddingsRequest | pb.LearnQuestionRequest,
) -> float | None:
    """Seconds, or None for the configured one. Raises INVALID_ARGUMENT/FIELD_INVALID unless positive."""
    if not request.HasField("ttl"):
        return None
    ttl_s = request.ttl.ToNanoseconds() / 1e9
    if ttl_s <= 0:
        raise invalid_field("ttl", "must be longer than nothing")
    return ttl_s


def checked_length(path: str, value: str, characters_max: int, *, required: bool = False) -> str:
    """The value. Raises INVALID_ARGUMENT/FIELD_INVALID when it is too long, or missing though required."""
    if len(value) > characters_max:
        raise invalid_field(path, f"has more than {characters_max} characters")
    if required and not value:
        raise invalid_field(path, "is missing")
    return value


def _says_something(message: chat_pb.Message) -> bool:
    if message.text or message.parts.parts or message.tool_calls or message.refusal:
        return True
    return bool(message.extra_json) and has_a_value(message.extra_json)
