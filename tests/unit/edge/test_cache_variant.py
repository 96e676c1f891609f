"""What besides its request changes an answer: calls that differ in it share none."""

from itertools import combinations

import pytest

from meshgate_chassis.config.model import CompressionConfig, ModelCompression
from meshgate_edge.cache.early_lookup import Caller
from meshgate_edge.cache.variant import Variants
from meshgate_edge.call import CallInfo, CallOptions, ChatCall, CompressionOptions, Principal
from meshgate_edge.call_run import CallRun
from meshgate_protos.chat.v1 import chat_pb2 as chat
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb

LONG = 1_000  # tokens


def variant(
    options: CallOptions = CallOptions(),  # noqa: B008 - frozen
    metadata_json: str = "",
    config: CompressionConfig = CompressionConfig(),  # noqa: B008 - frozen
    *,
    tokens: int = LONG,
    tag_filtering: bool = True,
) -> str:
    call = ChatCall("id", Principal("open"), chat.ChatRequest(model="m"), options)
    run = CallRun(call, CallInfo("id", "m"), tokens, 0, 0.0, ledger_pb.Account(tenant_id="t"))
    share = Variants(config, tag_filtering).share(run, Caller("t", metadata_json), "m")
    assert "t" == share.tenant_id
    return share.variant


def compressed(**members: object) -> CallOptions:
    return CallOptions(compression=CompressionOptions(enabled=True, **members))  # type: ignore[arg-type]


def test_prompts_that_are_shortened_otherwise_are_apart() -> None:
    """By request, key, model or configuration; by how much, by what, of which messages."""
    variants = [
        variant(),
        variant(compressed()),
        variant(compressed(target_ratio=0.3)),
        variant(compressed(rag=True)),
        variant(compressed(allow_system=True)),
        variant(compressed(compressor="llmlingua")),
        variant(compressed(guard=False)),
    ]
    for one, other in combinations(variants, 2):
        assert one != other


@pytest.mark.parametrize(
    ("metadata_json", "config"),
    [
        ('{"compression": true}', CompressionConfig()),
        ("", CompressionConfig(enabled=True)),
        ("", CompressionConfig(models={"m": ModelCompression()})),
    ],
)
def test_whoever_says_it(metadata_json: str, config: CompressionConfig) -> None:
    """What is in force counts, not who says it; a request that wants its prompt as it is has it so."""
    off = CallOptions(compression=CompressionOptions(enabled=False))

    assert variant(compressed()) == variant(metadata_json=metadata_json, config=config)
    assert "" == variant(off, metadata_json, config)


def test_a_prompt_that_is_too_short_has_no_variant() -> None:
    """It is not shortened, so it is one request with those that never are."""
    assert "" == variant(compressed(min_tokens=LONG + 1))
    assert variant(compressed(min_tokens=LONG))


def test_tags_count_where_they_choose_deployments() -> None:
    """In any order; nowhere else."""
    one, other = CallOptions(tags=("free", "eu")), CallOptions(tags=("eu", "free"))

    assert variant(one) == variant(other) != variant(CallOptions(tags=("eu",))) != variant()
    assert "" == variant(one, tag_filtering=False)
