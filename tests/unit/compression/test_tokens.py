"""Tokenizers by model name."""

import pytest

from meshgate_compression.tokens import CL100K, O200K, Tokenizers, tokenizer_of


@pytest.mark.parametrize(
    ("model", "tokenizer"),
    [
        ("gpt-4o-mini", O200K),
        ("gpt-4.1", O200K),
        ("openai/gpt-4", CL100K),
        ("azure/gpt-4-turbo", CL100K),
        ("gpt-3.5-turbo", CL100K),
        ("claude-sonnet-4-5", O200K),
    ],
)
def test_the_models_own_tokenizer(model: str, tokenizer: str) -> None:
    """Where it is published; o200k where it is not."""
    assert tokenizer == tokenizer_of(model)


def test_known_counts() -> None:
    """Published examples: the right vocabulary is loaded."""
    tokenizers = Tokenizers()

    assert 6 == tokenizers.count(CL100K)("tiktoken is great!")
    assert 9 == tokenizers.count(CL100K)("お誕生日おめでとう")
    assert 8 == tokenizers.count(O200K)("お誕生日おめでとう")
