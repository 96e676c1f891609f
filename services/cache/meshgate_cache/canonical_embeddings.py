"""A request for embeddings -> the bytes that its inputs' keys are made of. Pure."""

from meshgate_cache.canonical_chat import IGNORED_MEMBERS
from meshgate_cache.canonical_json import canonical_members
from meshgate_protos.embeddings.v1 import embeddings_pb2 as pb


def canonical_parameters(request: pb.EmbeddingsRequest) -> bytes:
    """Everything but the inputs: model group, dimensions, user, members unknown to this version."""
    rest = pb.EmbeddingsRequest()
    rest.CopyFrom(request)
    rest.ClearField("inputs")
    if rest.extra_json:
        rest.extra_json = canonical_members(rest.extra_json, IGNORED_MEMBERS)
    return rest.SerializeToString(deterministic=True)


def canonical_inputs(request: pb.EmbeddingsRequest) -> list[bytes]:
    """One for each input; a text and tokens are never equal."""
    return [item.SerializeToString(deterministic=True) for item in request.inputs]
