"""What the router is told: strategies, policies, limits of deployments, the Redis it shares."""

from meshgate_chassis.config.model import DeploymentLimits
from tests.unit.chassis.config.loading import Folder

EVERYTHING = """\
    model_list:
      - model_name: a
        litellm_params:
          {model: openai/x, rpm: 10, rpd: 1500, tpm: 1000, tpd: 9000, itpm: 700, otpm: 300, order: 2,
           tags: [free], quota_time_zone: America/Los_Angeles, max_retries: 4,
           retry_policy: {TimeoutErrorRetries: 0},
           allowed_fails_policy: {RateLimitErrorAllowedFails: 7}, blocked: "true"}
        model_info: {id: one, max_input_tokens: 8192, allowed_fails: 5, cooldown_time: 1m}
      - model_name: b
        litellm_params: {model: openai/y, temperature: 1, num_retries: 0, max_parallel_requests: 2}
    model_groups: [{group_name: g, routing_strategy: cost-based-routing, models: [{model_name: a}]}]
    router_settings:
      routing_strategy: latency-based-routing
      routing_strategy_args: {ttl: 60, lowest_latency_buffer: 0.5, max_latency_list_size: 3}
      retry_policy: {BadRequestErrorRetries: 1, ContentPolicyViolationErrorRetries: 2}
      model_group_retry_policy: {b: {InternalServerErrorRetries: 5}}
      allowed_fails_policy: {AuthenticationErrorAllowedFails: 0}
      disable_cooldowns: true
      enable_pre_call_checks: true
      enable_tag_filtering: true
      tag_filtering_match_any: false
      default_max_parallel_requests: 9
      default_litellm_params: {temperature: 0, rpm: 77}
      redis_host: redis.example
      redis_password: p@ss
    """


def test_the_router_s_rules(folder: Folder) -> None:
    """Each key is where the router looks for it."""
    router = folder.load(EVERYTHING).router

    assert ("latency-based-routing", {"g": "cost-based-routing"}) == (
        router.routing_strategy,
        router.group_strategies,
    )
    assert (60.0, 0.5, 3) == (router.latency_memory_s, router.latency_buffer, router.latency_samples_max)
    assert {"bad_request": 1, "content_policy": 2} == router.retry_policy
    assert {"b": {"internal_server": 5}} == router.group_retry_policies
    assert {"authentication": 0} == router.allowed_fails_policy
    assert (False, True, True, False) == (
        router.cooldowns,
        router.pre_call_checks,
        router.tag_filtering,
        router.tags_match_any,
    )
    assert router.redis_url is not None
    assert "redis://:p%40ss@redis.example:6379" == router.redis_url.value


def test_the_rules_of_an_entry(folder: Folder) -> None:
    """From litellm_params and model_info; a copy in a group shares its limits and health."""
    a, b, copy = folder.load(EVERYTHING).deployments

    assert a.limits == DeploymentLimits(
        rpm=10,
        rpd=1500,
        tpm=1000,
        tpd=9000,
        itpm=700,
        otpm=300,
        max_parallel_requests=9,
        time_zone="America/Los_Angeles",
    )
    assert (True, 2, ("free",), 8192) == (a.blocked, a.order, a.tags, a.max_input_tokens)
    assert (4, {"timeout": 0}) == (a.num_retries, a.retry_policy)
    assert (5, {"rate_limit": 7}, 60.0) == (a.allowed_fails, a.allowed_fails_policy, a.cooldown_time_s)
    assert ("one", "one@g", "one") == (a.account, copy.id, copy.account)
    assert (0, DeploymentLimits(rpm=77, max_parallel_requests=2)) == (b.num_retries, b.limits)


def test_defaults_of_all_entries(folder: Folder) -> None:
    """default_litellm_params go under each entry, and do not change its id."""
    plain = folder.load("model_list: [{model_name: a, litellm_params: {model: openai/x}}]").deployments[0]
    text = """\
        model_list:
          - {model_name: a, litellm_params: {model: openai/x}}
          - {model_name: b, litellm_params: {model: openai/x, temperature: 1}}
        router_settings: {default_litellm_params: {temperature: 0, timeout: 7}}
        """
    a, b = folder.load(text).deployments

    assert (plain.id, {"temperature": 0}, 7.0) == (a.id, a.request_defaults, a.timeout_s)
    assert {"temperature": 1} == b.request_defaults


def test_the_redis_of_the_cache_is_shared(folder: Folder) -> None:
    """When the router has none of its own."""
    cache = "litellm_settings: {cache: true, cache_params: {type: redis, host: c}}"
    shared = folder.load(cache).router.redis_url
    own = folder.load(f"{cache}\nrouter_settings: {{redis_url: 'redis://r:1'}}").router.redis_url
    assert shared is not None
    assert own is not None

    assert ("redis://c:6379", "redis://r:1") == (shared.value, own.value)
    assert None is folder.load("{}").router.redis_url


def test_a_wrong_time_zone_is_an_error(folder: Folder) -> None:
    """A day that begins at the wrong hour would be found out late."""
    text = "model_list: [{model_name: a, litellm_params: {model: openai/x, quota_time_zone: Pacific}}]"
    assert ["error"] == [line.split()[0] for line in folder.lines(text)]
