"""Gemini's counts by modality in OpenAI's shape."""

from meshgate_router.providers.gemini_usage import usage_of


def test_what_came_from_the_cache_is_no_audio_at_its_own_price() -> None:
    """It has the price of the cache; Gemini counts it in both."""
    usage = usage_of(
        {
            "promptTokenCount": 100,
            "candidatesTokenCount": 20,
            "cachedContentTokenCount": 50,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 10},
                {"modality": "AUDIO", "tokenCount": 90},
            ],
            "cacheTokensDetails": [
                {"modality": "AUDIO", "tokenCount": 45},
                {"modality": "TEXT", "tokenCount": 5},
            ],
            "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}],
        }
    )

    assert {"cached_tokens": 50, "text_tokens": 5, "audio_tokens": 45} == usage["prompt_tokens_details"]
    assert 20 == usage["completion_tokens_details"]["audio_tokens"]


def test_nonsense_is_never_less_than_nothing() -> None:
    """More from the cache than there was."""
    usage = usage_of(
        {
            "promptTokenCount": 3,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}],
            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 9}, "nonsense"],
        }
    )

    assert 0 == usage["prompt_tokens_details"]["audio_tokens"]
