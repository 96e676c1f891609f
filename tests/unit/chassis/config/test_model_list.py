"""`model_list`: providers, credentials, prices, defaults and ids."""

import pytest

from meshgate_chassis.config.model import DeploymentPrice, Secret
from tests.unit.chassis.config.loading import Folder


@pytest.mark.parametrize(
    ("params", "provider", "upstream_model"),
    [
        ("{model: openai/gpt-4o}", "openai", "gpt-4o"),
        ("{model: openai/Qwen/Qwen2.5-7B}", "openai", "Qwen/Qwen2.5-7B"),
        ("{model: openai/*}", "openai", "*"),
        ("{model: hosted_vllm/a/b, api_base: 'http://h'}", "hosted_vllm", "a/b"),
        ("{model: text-completion-openai/x}", "text-completion-openai", "x"),
        ("{model: demo/echo}", "demo", "echo"),
        ("{model: bedrock/anthropic.claude-3}", "bedrock", "anthropic.claude-3"),
        ("{model: claude-3-5-sonnet}", "anthropic", "claude-3-5-sonnet"),
        ("{model: gpt-4o-mini}", "openai", "gpt-4o-mini"),
        ("{model: o3-mini}", "openai", "o3-mini"),
        ("{model: chatgpt-4o-latest}", "openai", "chatgpt-4o-latest"),
        ("{model: text-embedding-3-small}", "openai", "text-embedding-3-small"),
        ("{model: gemini-1.5-flash}", "gemini", "gemini-1.5-flash"),
        ("{model: Qwen/Qwen2.5, api_base: 'http://h/v1'}", "openai", "Qwen/Qwen2.5"),
        ("{model: mymodel, base_url: 'http://h/v1'}", "openai", "mymodel"),
        ("{model: mymodel, custom_llm_provider: groq}", "groq", "mymodel"),
        ("{model: groq/mymodel, custom_llm_provider: groq}", "groq", "mymodel"),
        ("{model: some/model, custom_llm_provider: groq}", "groq", "some/model"),
    ],
)
def test_provider(folder: Folder, params: str, provider: str, upstream_model: str) -> None:
    """The first segment, the bare name, or the address tells."""
    found = folder.deployment(params)
    assert (provider, upstream_model) == (found.provider, found.upstream_model)


def test_a_model_of_nobody_is_left_out(folder: Folder) -> None:
    """One entry that nobody can serve does not stop the others; it is named, with what was meant."""
    text = """\
        model_list:
          - {model_name: a, litellm_params: {model: opena1/gpt-4o}}
          - {model_name: b, litellm_params: {model: mymodel}}
          - {model_name: c, litellm_params: {model: groq/x}}
        """
    config = folder.load(text)
    assert ["c"] == [each.model_group for each in config.deployments]
    assert ["openai", None] == [each.suggestion for each in config.warnings]
    assert [2, 3] == [each.line for each in config.warnings]


@pytest.mark.parametrize(
    ("params", "environ", "key"),
    [
        ("{model: openai/x, api_key: own}", {"OPENAI_API_KEY": "env"}, "own"),
        ("{model: openai/x}", {"OPENAI_API_KEY": "env"}, "env"),
        ("{model: openai/x, api_key: os.environ/NONE}", {"OPENAI_API_KEY": "env"}, "env"),
        ("{model: openai/x, api_key: ''}", {"OPENAI_API_KEY": ""}, None),
        ("{model: gemini/x}", {"GOOGLE_API_KEY": "goo"}, "goo"),
        ("{model: gemini/x}", {"GOOGLE_API_KEY": "goo", "GEMINI_API_KEY": "gem"}, "gem"),
        ("{model: claude-x}", {"ANTHROPIC_API_KEY": "ant"}, "ant"),
        ("{model: openai/x, api_base: 'http://proxy/v1'}", {"OPENAI_API_KEY": "env"}, "env"),
        ("{model: x/y, api_base: 'http://mine/v1'}", {"OPENAI_API_KEY": "env"}, None),
        (
            "{model: openai/x, api_base: 'http://mine/v1', api_key: os.environ/MINE}",
            {"OPENAI_API_KEY": "env"},
            None,
        ),
    ],
)
def test_api_key(folder: Folder, params: str, environ: dict[str, str], key: str | None) -> None:
    """The entry's key, else the provider's; which never goes to an address that was meant to get another."""
    found = folder.deployment(params, environ).api_key
    assert key == (found.value if found else None)


@pytest.mark.parametrize(
    ("params", "environ", "base"),
    [
        ("{model: openai/x, api_base: 'http://own'}", {"OPENAI_BASE_URL": "http://env"}, "http://own"),
        ("{model: openai/x}", {"OPENAI_BASE_URL": "http://env"}, "http://env"),
        ("{model: anthropic/x}", {"ANTHROPIC_BASE_URL": "http://env"}, "http://env"),
        ("{model: ollama_chat/x}", {"OLLAMA_API_BASE": "http://env"}, "http://env"),
        ("{model: hosted_vllm/x}", {"HOSTED_VLLM_API_BASE": "http://env"}, "http://env"),
        ("{model: groq/x}", {"OPENAI_BASE_URL": "http://env"}, None),
    ],
)
def test_api_base(folder: Folder, params: str, environ: dict[str, str], base: str | None) -> None:
    """The entry's address, else the provider's variable, else the provider's own."""
    assert base == folder.deployment(params, environ).api_base


def test_an_address_that_is_not_set(folder: Folder) -> None:
    """Calls that were meant for another machine go to the provider: that deserves a word."""
    config = folder.load(
        "model_list: [{model_name: m, litellm_params: {model: openai/x, api_base: os.environ/LAB}}]"
    )
    assert any("the provider's own address" in each.message for each in config.warnings)


def test_a_provider_without_an_address(folder: Folder) -> None:
    """vLLM runs wherever the operator put it: the entry loads, and somebody says so."""
    config = folder.load("model_list: [{model_name: m, litellm_params: {model: hosted_vllm/x}}]")
    assert ["has no api_base, and hosted_vllm has no address of its own"] == [
        each.message for each in config.warnings
    ]
    assert config.deployments[0].api_base is None


@pytest.mark.parametrize(
    ("usd_per_token", "nanos_per_mtok"),
    [
        ("1e-7", 100_000_000),
        ("0.0000025", 2_500_000_000),
        ("0.000000075", 75_000_000),
        ("7.5e-08", 75_000_000),
        ("'0.1e-6'", 100_000_000),
        ("0", 0),
        ("1e-15", 1),
        ("2.5e-15", 2),
        ("3.5e-15", 4),
        ("0.1", 100_000_000_000_000),
    ],
)
def test_price(folder: Folder, usd_per_token: str, nanos_per_mtok: int) -> None:
    """Exact for what providers publish; below the unit one rounding, half to even."""
    text = (
        f"{{model: openai/x, input_cost_per_token: {usd_per_token}, output_cost_per_token: {usd_per_token}}}"
    )
    assert DeploymentPrice(nanos_per_mtok, nanos_per_mtok) == folder.deployment(text).price


def test_price_of_model_info(folder: Folder) -> None:
    """litellm_params wins over model_info, member by member; none at all leaves it to the price library."""
    params = "{model: openai/x, input_cost_per_token: 1e-6, cache_read_input_token_cost: 1e-7}"
    info = "{input_cost_per_token: 9e-6, output_cost_per_token: 2e-6, cache_creation_input_token_cost: 3e-6}"
    expected = DeploymentPrice(10**9, 2 * 10**9, 10**8, 3 * 10**9)
    assert expected == folder.deployment(params, info=info).price
    assert folder.deployment("{model: openai/x, cache_read_input_token_cost: 1e-7}").price is None


def test_half_a_price_is_said(folder: Folder) -> None:
    """Free output by accident is a warning; an embedding has no output."""
    entry = (
        "model_list: [{{model_name: m, litellm_params: {{model: openai/{0}, input_cost_per_token: 1e-6}}}}]"
    )
    assert "free" in folder.lines(entry.format("gpt-4o"))[0]
    assert [] == folder.lines(entry.format("text-embedding-3-small"))


def test_request_defaults(folder: Folder) -> None:
    """OpenAI parameters, unknown ones and extra_body go under the request; the gateway's own do not."""
    params = """{model: openai/x, rpm: 1, tags: [a], temperature: '0.5', max_tokens: 10, newparam: {a: 1},
        extra_body: {think: false}, extra_headers: {X-A: 1, X-B: null}, organization: org,
        weight: 2, seed: null, additional_drop_params: [user]}"""
    found = folder.deployment(params)
    expected = {
        "temperature": 0.5,
        "max_tokens": 10,
        "newparam": {"a": 1},
        "extra_body": {"think": False},
        "additional_drop_params": ["user"],
    }
    assert expected == found.request_defaults
    assert {"X-A": "1", "OpenAI-Organization": "org"} == found.extra_headers
    assert (1, 2.0) == (found.rpm, found.weight)


def test_unknown_parameters_are_said(folder: Folder) -> None:
    """They reach the provider, as in LiteLLM, with a warning and what was probably meant."""
    text = "model_list:\n- model_name: m\n  litellm_params:\n    model: openai/x\n    temprature: 1\n"
    assert [
        (
            "warning config.yaml:5: model_list[0].litellm_params.temprature:"
            " unknown key: it goes to the provider as it is (did you mean 'temperature'?)"
        )
    ] == folder.lines(text)


def test_drop_params(folder: Folder) -> None:
    """The entry decides, else litellm_settings."""
    text = """\
        model_list:
          - {model_name: a, litellm_params: {model: openai/x}}
          - {model_name: b, litellm_params: {model: openai/x, drop_params: false}}
        litellm_settings: {drop_params: true}
        """
    assert [True, False] == [each.drop_params for each in folder.load(text).deployments]


def test_model_info_is_kept(folder: Folder) -> None:
    """All of it, known or not, without a word."""
    found = folder.deployment(
        "{model: openai/x}", info="{id: 7, mode: responses, tier: free, note: {a: [1]}}"
    )
    assert ("7", "responses") == (found.id, found.mode)
    assert {"id": 7, "mode": "responses", "tier": "free", "note": {"a": [1]}} == found.model_info


def test_ids_follow_what_is_written(folder: Folder) -> None:
    """Not the order, the place, the name or the environment; but any parameter."""
    one = folder.deployment("{model: openai/x, api_key: os.environ/K, rpm: 1}", {"K": "a"}).id
    assert 64 == len(one)
    assert one == folder.deployment("{rpm: 1, api_key: os.environ/K, model: openai/x}", {"K": "b"}).id
    assert one != folder.deployment("{rpm: 2, api_key: os.environ/K, model: openai/x}").id
    assert one != folder.deployment("{rpm: 1, api_key: os.environ/L, model: openai/x}").id
    literal = "{{model: openai/x, api_key: {0}}}"
    assert folder.deployment(literal.format("a")).id != folder.deployment(literal.format("b")).id


def test_the_id_is_pinned(folder: Folder) -> None:
    """Spend and cooldowns are kept under it: a change of the rule must be a decision."""
    pinned = "f54ca434"
    assert folder.deployment("{model: openai/x, rpm: 1, api_key: k}").id.startswith(pinned)


def test_copies_have_ids_of_their_own(folder: Folder) -> None:
    """Equal entries are numbered in the order of the file; explicit ids stay."""
    text = """\
        model_list:
          - {model_name: a, litellm_params: {model: openai/x}}
          - {model_name: a, litellm_params: {model: openai/x}}
          - {model_name: b, litellm_params: {model: openai/x}}
          - {model_name: b, litellm_params: {model: openai/x}, model_info: {id: mine}}
        """
    first, second, third, mine = (each.id for each in folder.load(text).deployments)
    assert (f"{first}-2", f"{first}-3", "mine") == (second, third, mine)


def test_model_groups(folder: Folder) -> None:
    """Weights are shared by a member's deployments; members and groups that cannot be are named."""
    text = """\
        model_list:
          - {model_name: a, litellm_params: {model: openai/x}}
          - {model_name: a, litellm_params: {model: openai/y}}
          - {model_name: b, litellm_params: {model: openai/z}}
        model_groups:
          - group_name: both
            models: [{model_name: a, weight: 0.5}, {model_name: b}, {model_name: gone}]
        router_settings: {fallbacks: [{both: [a]}]}
        """
    config = folder.load(text)
    found = [each for each in config.deployments if each.model_group == "both"]
    assert [("x", 0.25), ("y", 0.25), ("z", 1.0)] == [(each.upstream_model, each.weight) for each in found]
    assert ["model_groups[0].models[2]"] == [each.where for each in config.warnings]
    assert {"both": ("a",)} == config.router.fallbacks
    assert "exists already" in folder.lines(text.replace("group_name: both", "group_name: b"))[0]


def test_keys_of_the_same_provider_stay_apart(folder: Folder) -> None:
    """Two entries with two keys keep them."""
    text = """\
        model_list:
          - {model_name: a, litellm_params: {model: openai/x, api_key: one}}
          - {model_name: a, litellm_params: {model: openai/x, api_key: two}}
        """
    assert [Secret("one"), Secret("two")] == [each.api_key for each in folder.load(text).deployments]
