"""Whether and how a call's prompt is compressed."""

import json
from typing import Any

import pytest

from meshgate_chassis.config.model import CompressionConfig, ModelCompression
from meshgate_edge.call import CompressionOptions
from meshgate_edge.compression.policy import decide, of_key
from meshgate_protos.compression.v1 import compression_service_pb2 as pb

NOTHING = CompressionOptions()
OFF = CompressionConfig()
ON = CompressionConfig(enabled=True, min_tokens=300)


def key(said: Any) -> str:
    return json.dumps({"team": "x", "compression": said})


@pytest.mark.parametrize(
    ("asked", "key_says", "model", "configured", "expected"),
    [
        (None, None, None, False, False),
        (None, None, None, True, True),
        (None, None, False, True, False),
        (None, None, True, False, True),
        (None, False, True, True, False),
        (None, True, False, False, True),
        (True, False, False, False, True),
        (False, True, True, True, False),
    ],
)
def test_the_nearest_word_counts(
    asked: bool | None, key_says: bool | None, model: bool | None, configured: bool, expected: bool
) -> None:
    """Request before key before model before configuration."""
    models = {} if model is None else {"gpt": ModelCompression(enabled=model)}
    config = CompressionConfig(enabled=configured, models=models)
    metadata = "" if key_says is None else key(key_says)

    assert expected == decide(CompressionOptions(enabled=asked), metadata, config, "gpt").enabled
    assert configured == decide(NOTHING, "", config, "another").enabled


def test_each_member_is_decided_for_itself() -> None:
    """What the request leaves open is the key's, then the model's; what all leave open is not sent."""
    models = {"gpt": ModelCompression(target_ratio=0.9, min_tokens=900, compressor="none", guard=False)}
    policy = decide(
        CompressionOptions(enabled=True, target_ratio=0.4),
        key({"target_ratio": 0.7, "min_tokens": 700, "rag": True}),
        CompressionConfig(models=models),
        "gpt",
    )

    assert (True, 700, False) == (policy.enabled, policy.min_tokens, policy.guard)
    assert pb.Policy(target_ratio=0.4, min_tokens=700, compressor="none", rag=True) == policy.policy
    assert pb.Policy() == decide(NOTHING, "", ON, "gpt").policy
    assert 300 == decide(NOTHING, "", ON, "gpt").min_tokens


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("", NOTHING),
        ('{"team": 1}', NOTHING),
        ('["compression"]', NOTHING),
        (key("yes"), NOTHING),
        (key({}), CompressionOptions(enabled=True)),
        (key({"enabled": False}), CompressionOptions(enabled=False)),
        (
            key({"target_ratio": 1, "min_tokens": True, "rag": 1, "compressor": 3, "unknown": 1}),
            CompressionOptions(enabled=True, target_ratio=1),
        ),
        (key({"min_tokens": 10**30, "target_ratio": 10**400}), CompressionOptions(enabled=True)),
    ],
)
def test_what_a_key_says(metadata: str, expected: CompressionOptions) -> None:
    """Members of a wrong kind say nothing."""
    assert expected == of_key(metadata)
