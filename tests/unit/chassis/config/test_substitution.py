"""References to the environment: where they are resolved, and what happens when nothing is there."""

from types import MappingProxyType

import pytest

from meshgate_chassis.config.model import Secret
from meshgate_chassis.config.node import Node, plain
from meshgate_chassis.config.problems import Problems
from meshgate_chassis.config.substitute import substitute
from tests.unit.chassis.config.loading import Folder


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("os.environ/HOST", "box"),
        ("os.environ/EMPTY", ""),
        ("os.environ/UNSET", None),
        ("see os.environ/HOST", "see os.environ/HOST"),
        ("http://${HOST}:${PORT}/v1", "http://box:80/v1"),
        ("${HOST}", "box"),
        ("${UNSET}", None),
        ("x${UNSET}y", "xy"),
        ("${UNSET:-there}", "there"),
        ("${EMPTY:-there}", "there"),
        ("${HOST:-there}", "box"),
        ("${UNSET:-}", ""),
        ("${UNSET:-http://a:1/b?c=d}", "http://a:1/b?c=d"),
        ("$${HOST}", "${HOST}"),
        ("${not a name}", "${not a name}"),
        ("pa${", "pa${"),
        ("$HOST", "$HOST"),
        ("${NESTED}", "${HOST}"),
        (5, 5),
        (None, None),
    ],
)
def test_one_value(written: str | int | None, expected: object) -> None:
    """Whole values and parts of text; what was put in is not looked at again."""
    environ = {"HOST": "box", "PORT": "80", "EMPTY": "", "NESTED": "${HOST}"}
    assert expected == substitute(Node(written, "f", 1, "w", written), environ, Problems()).value


def test_any_depth(folder: Folder) -> None:
    """Also in lists and mappings that are only passed on."""
    text = "{model: openai/x, stop: [os.environ/A, {b: 'x${A}'}], extra_body: {c: {d: os.environ/A}}}"
    assert {"stop": ["1", {"b": "x1"}], "extra_body": {"c": {"d": "1"}}} == folder.deployment(
        text, {"A": "1"}
    ).request_defaults


def test_unset_is_said_once_with_its_line(folder: Folder) -> None:
    """The name of the variable, and where it is used."""
    text = "general_settings:\n  master_key: os.environ/NOBODY_SET_THIS\n"
    assert [
        (
            "warning config.yaml:2: general_settings.master_key:"
            " the environment variable NOBODY_SET_THIS is not set"
        )
    ] == folder.lines(text)


def test_an_empty_master_key_is_none(folder: Folder) -> None:
    """An empty text never becomes a key that everybody has; the environment's name still counts."""
    text = "general_settings: {master_key: '${MASTER}'}"
    assert folder.load(text).master_key is None
    assert folder.load(text, {"MASTER": ""}).master_key is None
    assert Secret("k") == folder.load(text, {"MASTER": "", "LITELLM_MASTER_KEY": "k"}).master_key


def test_environment_variables_of_the_file(folder: Folder) -> None:
    """They win over the environment, may use those above them, and never change the caller's mapping."""
    text = """\
        environment_variables:
          HOST: inside
          BASE: http://${HOST}/v1
          LITELLM_MASTER_KEY: 1234
          GROQ_API_KEY: os.environ/OUTER
          NOTHING: null
        model_list:
          - {model_name: m, litellm_params: {model: groq/x, api_base: os.environ/BASE}}
        """
    environ = MappingProxyType({"HOST": "outside", "OUTER": "gsk"})
    config = folder.load(text, environ)
    assert "http://inside/v1" == config.deployments[0].api_base
    assert Secret("gsk") == config.deployments[0].api_key
    assert Secret("1234") == config.master_key
    assert () == config.warnings


def test_numbers_and_booleans_from_the_environment(folder: Folder) -> None:
    """The environment gives text; settings read it as what they need."""
    text = """\
        litellm_settings: {cache: os.environ/YES, cache_params: {host: h, port: '${P}'}}
        router_settings: {timeout: os.environ/T, num_retries: os.environ/N}
        """
    config = folder.load(text, {"YES": "True", "P": "1", "T": "1.5", "N": "4"})
    assert (1.5, 4) == (config.router.timeout_s, config.router.num_retries)
    assert Secret("redis://h:1") == config.cache.redis_url


def test_plain_keeps_no_positions() -> None:
    """What services get is JSON-like."""
    node = Node({"a": Node([Node(1, "f", 1, "a[0]")], "f", 1, "a")}, "f", 1, "")
    assert {"a": [1]} == plain(node)
