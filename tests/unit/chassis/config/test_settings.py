"""Router, cache and the small sections: values, precedence and what stands in for what is missing."""

from hashlib import sha256

import pytest

from meshgate_chassis.config.kinds import parse_duration
from meshgate_chassis.config.model import (
    CacheConfig,
    CompressionConfig,
    LedgerConfig,
    ModelCompression,
    Secret,
)
from tests.unit.chassis.config.loading import Folder

MODELS = """
model_list:
  - {model_name: a, litellm_params: {model: openai/x}}
  - {model_name: b, litellm_params: {model: openai/y}}
  - {model_name: 'wild/*', litellm_params: {model: 'openai/*'}}
"""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
        ("1d", 86_400.0),
        ("2w", 1_209_600.0),
        ("1mo", 2_592_000.0),
        ("500ms", 0.5),
        ("1.5", 1.5),
        (" 10 S ", 10.0),
        ("abc", None),
        ("", None),
        ("-1s", None),
        ("1x", None),
        ("s", None),
        ("1 2", None),
        ("inf", None),
        ("1e3", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    """LiteLLM's units, in any case; anything else is no duration."""
    assert seconds == parse_duration(text)


def test_router_settings_win_over_litellm_settings(folder: Folder) -> None:
    """Both sections are read; fallbacks are merged group by group."""
    text = MODELS + (
        "litellm_settings: {num_retries: 9, request_timeout: 5, allowed_fails: 2,"
        " fallbacks: [{a: [b]}, {b: [a]}], default_fallbacks: [b]}\n"
        "router_settings: {num_retries: 1, fallbacks: [{a: ['wild/x']}], retry_after: 2s, max_fallbacks: 3}\n"
    )
    router = folder.load(text).router
    assert (1, 5.0, 2, 2.0, 3) == (
        router.num_retries,
        router.timeout_s,
        router.allowed_fails,
        router.retry_after_s,
        router.fallback_depth_max,
    )
    assert {"a": ("wild/x",), "b": ("a",)} == router.fallbacks
    assert ("b",) == router.default_fallbacks


def test_names_of_groups(folder: Folder) -> None:
    """Aliases, patterns and `*` are known; what nobody serves is skipped and named with its line."""
    text = MODELS + (
        "router_settings:\n"
        "  model_group_alias: {short: a, lost: nobody}\n"
        "  fallbacks:\n"
        "    - '*': [short, {model: b}]\n"
        "    - wild/z: [gone]\n"
        "    - aa: [b]\n"
    )
    config = folder.load(text)
    assert {"*": ("short", "b"), "aa": ("b",)} == config.router.fallbacks
    assert {"short": "a"} == config.router.model_group_alias
    assert [(7, "nobody"), (10, "gone"), (11, "aa")] == [
        (each.line, each.message.split("'")[1]) for each in config.warnings
    ]


def test_load_balancing_settings(folder: Folder) -> None:
    """The section of a reference deployment counts when router_settings says nothing."""
    text = "load_balancing_settings: {enable: true, routing_algorithm: least-busy}\n"
    assert "least-busy" == folder.load(text).router.routing_strategy
    both = text + "router_settings: {routing_strategy: cost-based-routing}\n"
    assert "cost-based-routing" == folder.load(both).router.routing_strategy
    assert "simple-shuffle" == folder.load(text.replace("true", "false")).router.routing_strategy


@pytest.mark.parametrize(
    ("params", "environ", "url"),
    [
        ("{host: h}", {}, "redis://h:6379"),
        ("{host: h, port: '1', password: 'a/b@c:d', username: 'u s'}", {}, "redis://u%20s:a%2Fb%40c%3Ad@h:1"),
        ("{host: h, ssl: true, db: 2}", {}, "rediss://h:6379/2"),
        ("{host: '::1'}", {}, "redis://[::1]:6379"),
        ("{url: 'redis://u:p@x:1/3', host: h}", {"REDIS_URL": "redis://env"}, "redis://u:p@x:1/3"),
        ("{host: h}", {"REDIS_URL": "redis://env", "REDIS_PASSWORD": "p"}, "redis://:p@h:6379"),
        ("null", {"REDIS_URL": "redis://env:1"}, "redis://env:1"),
        ("{host: os.environ/NO}", {"REDIS_HOST": "e", "REDIS_PORT": "2"}, "redis://e:2"),
        ("null", {"REDIS_HOST": "e", "REDIS_PORT": "tcp://10.0.0.1:6380"}, "redis://e:6380"),
        ("null", {"REDIS_HOST": "e", "REDIS_USERNAME": "u", "REDIS_SSL": "True"}, "rediss://u:@e:6379"),
        (
            "{host: h, ssl: true, ssl_ca_certs: /c a, ssl_check_hostname: false}",
            {"REDIS_SSL_CERT_REQS": "required"},
            "rediss://h:6379?ssl_ca_certs=%2Fc+a&ssl_cert_reqs=required&ssl_check_hostname=False",
        ),
        ("{host: h, ssl_ca_certs: /c}", {}, "redis://h:6379"),
    ],
)
def test_where_redis_is(folder: Folder, params: str, environ: dict[str, str], url: str) -> None:
    """url, else its parts, else the environment; which also fills in what the parts omit."""
    config = folder.load(f"litellm_settings: {{cache: true, cache_params: {params}}}", environ)
    assert ("redis", Secret(url)) == (config.cache.type, config.cache.redis_url)


NODES = (("a", 7001), ("b", 7002))
AS_JSON = '[{"host": "a", "port": "7001"}, {"host": "b", "port": 7002}]'


@pytest.mark.parametrize(
    ("params", "environ", "nodes", "url"),
    [
        (f"{{redis_startup_nodes: {AS_JSON}, password: p}}", {}, NODES, "redis://:p@a:7001"),
        (f"{{redis_startup_nodes: {AS_JSON}, ssl: true}}", {"REDIS_HOST": "e"}, NODES, "rediss://a:7001"),
        ("null", {"REDIS_CLUSTER_NODES": AS_JSON, "REDIS_URL": ""}, NODES, "redis://a:7001"),
        ("{host: h}", {"REDIS_CLUSTER_NODES": AS_JSON}, (), "redis://h:6379"),
    ],
)
def test_where_a_redis_cluster_is(
    folder: Folder, params: str, environ: dict[str, str], nodes: tuple[tuple[str, int], ...], url: str
) -> None:
    """Its servers, with the credentials of one of them; routers share what they share there, too."""
    config = folder.load(f"litellm_settings: {{cache: true, cache_params: {params}}}", environ)

    assert (nodes, Secret(url)) == (config.cache.redis_nodes, config.cache.redis_url)
    assert (nodes, Secret(url)) == (config.router.redis_nodes, config.router.redis_url)


@pytest.mark.parametrize("written", ["a:7001", "[1]", '[{"host": "a", "port": "x"}]'])
def test_cluster_nodes_that_are_none(folder: Folder, written: str) -> None:
    """The variable is named."""
    lines = folder.lines("litellm_settings: {cache: true}", {"REDIS_CLUSTER_NODES": written})
    assert ["error (environment): REDIS_CLUSTER_NODES: must be JSON"] == [line[:54] for line in lines]


def test_a_redis_port_that_is_none(folder: Folder) -> None:
    """The variable is named, its value is not."""
    lines = folder.lines("litellm_settings: {cache: true}", {"REDIS_HOST": "e", "REDIS_PORT": "hunter2"})
    assert ["error (environment): REDIS_PORT: must be a port"] == lines


def test_cache(folder: Folder) -> None:
    """Everything that can be set."""
    text = """\
        litellm_settings:
          cache: true
          cache_params:
            {type: local, ttl: 1h, namespace: n, mode: default_off, supported_call_types: [completion]}
        """
    expected = CacheConfig(
        enabled=True,
        type="local",
        ttl_s=3600,
        namespace="n",
        mode="default_off",
        supported_call_types=("completion",),
    )
    assert expected == folder.load(text, {"REDIS_HOST": "unused"}).cache


@pytest.mark.parametrize(
    ("text", "enabled", "warnings"),
    [
        ("litellm_settings: {cache: false, cache_params: {type: local}}", False, 0),
        ("litellm_settings: {cache_params: {type: local}}", False, 1),
        ("litellm_settings: {cache: true}", True, 1),
        ("litellm_settings: {cache: true, cache_params: {type: s3}}", True, 1),
        ("litellm_settings: {cache: true, cache_params: {type: redis-semantic, host: h}}", True, 0),
        ("litellm_settings: {cache: true, cache_params: {type: local-semantic}}", True, 0),
        ("cache_settings: {type: local}", True, 0),
        ("cache_settings: {type: local, enabled: false}", False, 0),
        ("cache_settings: {type: local}\nlitellm_settings: {cache: false}", False, 0),
        ("cache_settings: null", False, 0),
    ],
)
def test_when_the_cache_is_on(folder: Folder, text: str, enabled: bool, warnings: int) -> None:
    """cache: true, or a cache_settings section; what cannot be had is kept in memory, with a warning."""
    config = folder.load(text)
    assert (enabled, warnings) == (config.cache.enabled, len(config.warnings))


def test_defaults_of_ttl_by_type(folder: Folder) -> None:
    """LiteLLM names one per backend."""
    text = (
        "litellm_settings: {cache: true, cache_params: {default_in_memory_ttl: 1, default_in_redis_ttl: 2}}"
    )
    assert 1 == folder.load(text).cache.ttl_s
    assert 2 == folder.load(text, {"REDIS_HOST": "h"}).cache.ttl_s


def test_general_settings(folder: Folder) -> None:
    """The database, the money part, the size of requests."""
    text = """\
        general_settings:
          master_key: 1234
          database_url: postgresql://u:p@h/d
          max_request_size_mb: 0.5
          default_output_tokens: 77
          hold_duration: 5m
          require_pricing: true
          maximum_spend_logs_retention_period: 30d
          alerting_threshold: 300
        litellm_settings: {allowed_origins: 'https://a'}
        """
    config = folder.load(text, {"LITELLM_MASTER_KEY": "other", "DATABASE_URL": "postgresql://other/d"})
    assert (Secret("1234"), Secret("postgresql://u:p@h/d")) == (config.master_key, config.database_url)
    assert 512 * 1024 == config.request_bytes_max
    kept_s = 30 * 86_400.0
    assert LedgerConfig(77, 300, require_pricing=True, entries_kept_s=kept_s) == config.ledger
    assert ("https://a",) == config.allowed_origins


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"DATABASE_HOST": "h"}, None),
        ({"DATABASE_HOST": "h", "DATABASE_NAME": "n"}, "postgresql://h:5432/n"),
        (
            {
                "DATABASE_HOST": "h:1",
                "DATABASE_NAME": "n",
                "DATABASE_USERNAME": "u",
                "DATABASE_PASSWORD": "p/@",
            },
            "postgresql://u:p%2F%40@h:1/n",
        ),
        ({"DATABASE_HOST": "::1", "DATABASE_NAME": "n"}, "postgresql://[::1]:5432/n"),
        ({"DATABASE_URL": "postgresql://x", "DATABASE_HOST": "h", "DATABASE_NAME": "n"}, "postgresql://x"),
    ],
)
def test_database_of_the_environment(folder: Folder, environ: dict[str, str], url: str | None) -> None:
    """DATABASE_URL, else its parts."""
    found = folder.load("", environ).database_url
    assert url == (found.value if found else None)


def test_compression_settings(folder: Folder) -> None:
    """Ours."""
    text = "compression_settings: {enabled: true, target_ratio: 0.4, min_tokens: 300, models: [a]}"
    expected = CompressionConfig(
        enabled=True, target_ratio=0.4, min_tokens=300, models={"a": ModelCompression()}
    )
    assert expected == folder.load(text).compression


def test_compression_settings_of_a_model(folder: Folder) -> None:
    """A mapping says how; nothing at all switches it on."""
    text = "compression_settings: {guard: false, models: {a: {target_ratio: 0.7, guard: true}, b: }}"
    expected = {"a": ModelCompression(target_ratio=0.7, guard=True), "b": ModelCompression()}
    found = folder.load(text).compression
    assert (False, expected) == (found.guard, found.models)


@pytest.mark.parametrize(
    ("text", "environ", "level", "json_logs"),
    [
        ("", {}, "INFO", False),
        ("", {"LITELLM_LOG": "debug", "JSON_LOGS": "true"}, "DEBUG", True),
        ("", {"LITELLM_LOG": "nonsense", "LITELLM_LOG_LEVEL": "ERROR"}, "ERROR", False),
        ("litellm_settings: {set_verbose: true, json_logs: true}", {"LITELLM_LOG": "ERROR"}, "DEBUG", True),
        ("general_settings: {json_logs: yes}", {}, "INFO", True),
        ("logs: {level: warning, json: true}", {}, "WARNING", True),
    ],
)
def test_logs(folder: Folder, text: str, environ: dict[str, str], level: str, json_logs: bool) -> None:
    """The file, else the environment."""
    config = folder.load(text, environ)
    assert (level, json_logs) == (config.log_level, config.json_logs)


def test_null_sections_are_empty(folder: Folder) -> None:
    """Any section may be null, and so may an empty file be."""
    names = "model_list litellm_settings router_settings general_settings environment_variables include"
    others = "model_groups budgets rate_limit cache_settings blocked_users health_check prometheus logs"
    more = "load_balancing_settings compression_settings"
    text = "".join(f"{name}: null\n" for name in f"{names} {others} {more}".split())
    assert folder.load("") == folder.load(text) == folder.load("null\n")


def test_yaml_is_read_as_pyyaml_reads_it(folder: Folder) -> None:
    """yes and on are booleans, anchors and merges work; dates stay text and 1e-7 is a number."""
    text = """\
        shared: &shared
          drop_params: yes
          temperature: 1e-1
          api_version: 2024-02-01
          newdate: 2024-02-01
          newwords: [y, N, .inf, 1:30, 0o7, 1_000, -5, .5, "1e3"]
        model_list:
          - model_name: a
            litellm_params: {<<: *shared, model: openai/x}
        """
    config = folder.load(text)
    assert config.deployments[0].drop_params
    expected = {
        "temperature": 0.1,
        "newdate": "2024-02-01",
        "newwords": ["y", "N", ".inf", "1:30", "0o7", 1000, -5, 0.5, "1e3"],
    }
    assert expected == config.deployments[0].request_defaults


def test_blocked_users(folder: Folder) -> None:
    """User ids, keys and hashes of keys, of both sections; the configuration keeps hashes alone."""
    key_hash = sha256(b"sk-of-a-thief").hexdigest()
    text = f"""\
        blocked_users: [alice, 42, null, sk-planted]
        litellm_settings: {{blocked_user_list: [bob, {key_hash.upper()}]}}
        """
    config = folder.load(text)
    blocked = config.ledger.blocked
    assert {sha256(name).hexdigest() for name in (b"alice", b"42", b"sk-planted", b"bob")} <= set(blocked)
    assert key_hash in blocked
    assert 6 == len(blocked)  # a hash may be a strange user id, too
    assert "sk-planted" not in repr(config)


@pytest.mark.parametrize("text", ["blocked_users: alice", "litellm_settings: {blocked_user_list: /list.txt}"])
def test_a_list_of_blocked_users_that_cannot_be_read_is_an_error(folder: Folder, text: str) -> None:
    """LiteLLM reads one text as the path of a file: who counts on it must hear that it is not read."""
    assert ["must be a list, not text"] == [each.message for each in folder.check(text)]


@pytest.mark.parametrize(
    ("named", "used", "warned"), [("e", "e", 0), ("any/x", "any/x", 0), ("other", "", 1)]
)
def test_whose_vectors_the_cache_compares(folder: Folder, named: str, used: str, warned: int) -> None:
    """Those of a model of the configuration, patterns included; the local ones, with a warning, else."""
    config = folder.load(
        "model_list: [{model_name: e, litellm_params: {model: openai/e}},"
        " {model_name: any/*, litellm_params: {model: openai/*}}]\n"
        "litellm_settings: {cache: true, cache_params: {type: local-semantic,"
        f" redis_semantic_cache_embedding_model: {named}}}}}"
    )

    assert (used, warned) == (config.cache.embedding_model, len(config.warnings))


@pytest.mark.parametrize(
    ("params", "semantic", "floor", "rate"),
    [
        ("{type: local}", False, 0.8, 0.01),
        ("{type: local-semantic, similarity_threshold: 0.9}", True, 0.9, 0.01),
        ("{type: redis-semantic, host: h, max_false_hit_rate: 0.05}", True, 0.8, 0.05),
        ("{type: redis, host: h, similarity_threshold: 0.85}", True, 0.85, 0.01),
    ],
)
def test_when_the_cache_is_semantic(
    folder: Folder, params: str, semantic: bool, floor: float, rate: float
) -> None:
    """By its type, or by a similarity_threshold."""
    cache = folder.load(f"litellm_settings: {{cache: true, cache_params: {params}}}").cache

    assert (semantic, floor, rate) == (
        cache.semantic,
        cache.similarity_threshold,
        cache.max_false_hit_rate,
    )
