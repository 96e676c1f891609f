"""What a deployment costs, as its entry says it."""

import pytest

from meshgate_chassis.config.model import DeploymentPrice
from meshgate_chassis.config.not_yet import TOKENS_ALONE
from tests.unit.chassis.config.loading import Folder

USD_PER_TOKEN = 10**15  # nano-USD per million tokens
MICRO = USD_PER_TOKEN // 10**6
PLAIN = "input_cost_per_token: 1e-6, output_cost_per_token: 2e-6"


def price(folder: Folder, members: str, info: str = "{}") -> DeploymentPrice | None:
    return folder.deployment(f"{{model: openai/x, {members}}}", info=info).price


def test_tokens_of_every_kind(folder: Folder) -> None:
    """Each has its own rate; what is not said is None."""
    found = price(
        folder,
        f"{PLAIN}, output_cost_per_reasoning_token: 3e-6, input_cost_per_audio_token: 4e-6, "
        "output_cost_per_audio_token: 5e-6, input_cost_per_request: 0.005",
    )
    assert found == DeploymentPrice(
        MICRO,
        2 * MICRO,
        reasoning_nanos_per_mtok=3 * MICRO,
        audio_input_nanos_per_mtok=4 * MICRO,
        audio_output_nanos_per_mtok=5 * MICRO,
        request_nanos=5_000_000,
    )


def test_a_request_alone_is_a_price(folder: Folder) -> None:
    """Its tokens are free then."""
    assert DeploymentPrice(0, 0, request_nanos=2_000_000) == price(folder, "input_cost_per_query: 0.002")


def test_tiers(folder: Folder) -> None:
    """Ascending, each with what it does not say from the price without it; also from model_info."""
    found = price(
        folder,
        f"{PLAIN}, cache_read_input_token_cost: 1e-7, output_cost_per_token_above_200k_tokens: 6e-6, "
        "cache_read_input_token_cost_above_200k_tokens: 3e-7",
        info="{input_cost_per_token_above_128k_tokens: 3e-6}",
    )
    assert found is not None
    (first, small), (second, big) = found.tiers
    assert (128_000, 200_000) == (first, second)
    assert (3 * MICRO, 2 * MICRO, MICRO // 10) == (
        small.input_nanos_per_mtok,
        small.output_nanos_per_mtok,
        small.cache_read_nanos_per_mtok,
    )
    assert (MICRO, 6 * MICRO, 3 * MICRO // 10) == (
        big.input_nanos_per_mtok,
        big.output_nanos_per_mtok,
        big.cache_read_nanos_per_mtok,
    )


@pytest.mark.parametrize(
    "key",
    [
        "output_cost_per_token_above_200k_tokens",
        "cache_creation_input_token_cost_above_200k_tokens",
        "output_cost_per_reasoning_token",
        "input_cost_per_audio_token",
        "output_cost_per_audio_token",
        "input_cost_per_query",
        "input_cost_per_request",
    ],
)
def test_what_is_charged_gets_no_warning(folder: Folder, key: str) -> None:
    """Else nobody would trust it."""
    text = f"model_list: [{{model_name: m, litellm_params: {{model: openai/x, {PLAIN}, {key}: 1e-6}}}}]"
    assert not any("enforced" in line for line in folder.lines(text))


@pytest.mark.parametrize(
    "key",
    [
        "input_cost_per_token_batches",
        "input_cost_per_token_above_200k_tokens_priority",
        "cache_creation_input_token_cost_above_1hr",
        "input_cost_per_image",
        "output_cost_per_image",
        "input_cost_per_second",
        "output_cost_per_second",
        "input_cost_per_character",
        "input_cost_per_audio_per_second",
        "input_cost_per_video_per_second",
        "cost_per_second",
    ],
)
def test_what_cannot_be_known_keeps_its_warning(folder: Folder, key: str) -> None:
    """Nothing in an answer says how much of it there was."""
    text = f"model_list: [{{model_name: m, litellm_params: {{model: openai/x, {PLAIN}, {key}: 1e-6}}}}]"
    assert any(TOKENS_ALONE in line for line in folder.lines(text))
