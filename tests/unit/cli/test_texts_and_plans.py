"""What a person reads, what a process is told, when it is started again: the pure parts."""

import json
import shlex
import socket
from pathlib import Path

import pytest

from meshgate_chassis.config.model import ConfigProblem
from meshgate_cli import messages, restart
from meshgate_cli.__main__ import main
from meshgate_cli.check import report
from meshgate_cli.mesh import Mesh, UpError, UpOptions, decide
from meshgate_cli.messages import Welcome
from meshgate_cli.notices import notices
from meshgate_cli.plan import STOP_ORDER, Addresses, plan_processes, shared_environment
from meshgate_cli.ports import another_port, free_port, port_problem
from meshgate_cli.reach import Store, postgres_in, problem_reaching, redis_in
from meshgate_cli.restart import RestartPolicy
from meshgate_cli.state_folder import StateFolder

ADDRESSES = Addresses("0.0.0.0", 4000, "127.0.0.1:4001", Path("/s"), "127.0.0.1:4010", 4020)


def test_backoff_grows_to_its_limit_and_starts_again() -> None:
    """A process that crashes at once is not started in a tight loop, and never given up."""
    policy = RestartPolicy()
    waits = [policy.after_crash(ran_s=0.1) for _ in range(12)]

    assert waits[0] == restart.BACKOFF_FIRST_S
    assert waits == sorted(waits)
    assert waits[-1] == restart.BACKOFF_MAX_S
    policy.after_crash(ran_s=restart.STEADY_S)
    assert policy.after_crash(ran_s=0.1) == 2 * restart.BACKOFF_FIRST_S


def test_every_process_is_told_its_own_address_only() -> None:
    """A service refuses a variable with its own prefix that it does not know."""
    given = {
        "PATH": "/bin",
        "MESHGATE_LEDGER_ADDRESS": "elsewhere:1",
        "MESHGATE_EDGE_PORT": "1",
        "MESHGATE_TLS_CA_FILE": "/ca",
        "OPENAI_API_KEY": "sk-1",
    }
    shared = shared_environment(given, Path("/c.yaml"), Path("/secret"))
    specs = {spec.name: spec for spec in plan_processes(ADDRESSES, shared)}

    assert list(specs) == ["ledger", "cache", "compression", "router", "demo", "local-llm", "edge"]
    ledger = {name for name in specs["ledger"].environment if name.startswith("MESHGATE_LEDGER_")}
    assert ledger == {"MESHGATE_LEDGER_LISTEN"}
    assert specs["edge"].environment["MESHGATE_LEDGER_ADDRESS"] == "unix:/s/ledger.sock"
    assert specs["edge"].environment["MESHGATE_EDGE_PORT"] == "4000"
    assert specs["edge"].probe.target == "127.0.0.1:4000"
    assert all(spec.environment["OPENAI_API_KEY"] == "sk-1" for spec in specs.values())
    assert all("MESHGATE_TLS_CA_FILE" not in spec.environment for spec in specs.values())


def test_everything_that_starts_is_stopped() -> None:
    """No process is missing in the stop order; the edge is the first, the ledger the last."""
    names = [spec.name for spec in plan_processes(ADDRESSES, {})]
    stopped = [name for step in STOP_ORDER for name in step]

    assert sorted(names) == sorted(stopped)
    assert (stopped[0], stopped[-1]) == ("edge", "ledger")


def test_the_curl_line_works_as_it_is() -> None:
    """A shell splits it into an address, two headers and a JSON body."""
    text = messages.welcome(
        Welcome("http://127.0.0.1:4000", "127.0.0.1:4001", "sk-x", "kept", ("demo",), "db", Path("/l"), 1.0)
    )
    command = text[text.index("curl") : text.index("Ctrl-C")]
    words = shlex.split(command)

    assert words[:2] == ["curl", "http://127.0.0.1:4000/v1/chat/completions"]
    assert "Authorization: Bearer sk-x" in words
    assert json.loads(words[-1])["model"] == "demo"


@pytest.mark.parametrize(
    ("return_code", "text"), [(2, "exit code 2"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")]
)
def test_how_a_process_ended(return_code: int, text: str) -> None:
    """In words."""
    assert messages.how_it_ended(return_code) == text


def test_a_taken_port_names_the_way_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`up` ends with both ways to choose another port, and starts nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = main(["up", "--port", str(port), "--state-dir", str(tmp_path / "s")])

    said = capsys.readouterr().out
    assert code == 1
    assert f"127.0.0.1:{port}" in said
    assert "--port" in said
    assert "PORT=" in said


def test_an_address_of_another_machine_names_the_way_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """No port would help."""
    code = main(["up", "--host", "192.0.2.1", "--port", "65530", "--state-dir", str(tmp_path / "s")])

    said = capsys.readouterr().out
    assert code == 1
    assert "HOST=127.0.0.1" in said
    assert "PORT=" not in said


def test_ports() -> None:
    """A free one can be had, a taken one cannot."""
    port = free_port("127.0.0.1")

    assert port_problem("127.0.0.1", port) is None
    with socket.create_server(("127.0.0.1", port)):
        problem = port_problem("127.0.0.1", port)
    assert problem is not None
    assert problem.of_port


@pytest.mark.parametrize(("port", "other"), [(4000, 4010), (65_530, 65_520), (80, 8_080), (443, 8_443)])
def test_another_port_can_be_had(port: int, other: int) -> None:
    """It exists, and everybody may have it."""
    assert another_port(port) == other


def test_without_a_command_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """With what each does."""
    assert main([]) == 2
    said = capsys.readouterr().out
    assert all(name in said for name in ("up", "check", "doctor", "ledger", "import", "what is wrong with"))


def test_ctrl_c_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No trace of where it was."""

    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("meshgate_cli.check.check", interrupted)
    assert main(["check", "config.yaml"]) == 130


def test_errors_of_a_configuration_lead_to_the_whole_report(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Whose warnings may be the cause: a misspelt key."""
    config = tmp_path / "c.yaml"
    config.write_text("model_list:\n  - model_nme: a\n    litellm_params: {model: openai/a}\n")
    port = str(free_port("127.0.0.1"))
    code = main(["up", "--port", port, "--config", str(config), "--state-dir", str(tmp_path / "s")])

    said = capsys.readouterr().out
    assert code == 1
    assert "has no model_name" in said
    assert f"check {config}" in said
    main(["check", str(config)])
    assert "did you mean" in capsys.readouterr().out


def test_what_is_said_before_a_start(tmp_path: Path) -> None:
    """Warnings of the configuration are counted, stores that do not answer are named, without passwords."""
    config = tmp_path / "c.yaml"
    config.write_text(
        "model_list:\n  - model_name: a\n    litellm_params: {model: openai/a, api_key: os.environ/NOT_SET}\n"
        "litellm_settings: {cache: true, cache_params: {type: redis}}\n"
    )
    port = free_port("127.0.0.1")
    environ = {
        "DATABASE_URL": f"postgresql://u:planted@127.0.0.1:{port}/x",
        "REDIS_URL": f"redis://:planted@127.0.0.1:{port}",
    }
    said = list(notices(decided(tmp_path, config, environ), environ))

    assert [True, True, True] == [
        text in line
        for text, line in zip(
            ("1 warning;", f"PostgreSQL at 127.0.0.1:{port} does not answer", f"Redis at 127.0.0.1:{port}"),
            said,
            strict=True,
        )
    ]
    assert "planted" not in "".join(said)


@pytest.mark.parametrize(
    "environ",
    [
        {"DATABASE_URL": "hello-planted"},
        {"DATABASE_URL": "mysql://u:planted@h/x"},
        {"DATABASE_URL": "postgresql://u:planted@h:port/x"},
        {"REDIS_URL": "127.0.0.1:6379/planted"},
    ],
)
def test_an_address_that_cannot_be_meant_stops_the_start(tmp_path: Path, environ: dict[str, str]) -> None:
    """At once, by the name of what gave it; nobody waits for it."""
    mesh = decided(tmp_path, None, environ)
    with pytest.raises(UpError, match=r"DATABASE_URL|Redis") as caught:
        list(notices(mesh, environ))
    assert "planted" not in str(caught.value)


def decided(folder: Path, config: Path | None, environ: dict[str, str]) -> Mesh:
    """What a start in a folder of its own would use."""
    state = StateFolder(folder / "state")
    state.prepare()
    return decide(UpOptions(config, "127.0.0.1", free_port("127.0.0.1"), None, state.root), environ, state)


@pytest.mark.parametrize(
    ("environ", "postgres", "redis"),
    [
        ({}, None, None),
        ({"DATABASE_URL": "postgresql://u:p@db/x"}, Store("db", 5432), None),
        ({"DATABASE_URL": "postgresql://u:p@/x?host=%2Ftmp%2Fpg"}, Store("/tmp/pg", 5432), None),
        ({"REDIS_URL": "rediss://:p@r:7000/0"}, None, Store("r", 7000)),
        ({"REDIS_HOST": "r"}, None, Store("r", 6379)),
        ({"REDIS_URL": "unix:///run/redis.sock"}, None, Store("/run/redis.sock", 0)),
        ({"DATABASE_URL": "postgresql+asyncpg://u:p@a:1,b:2/x"}, Store("a", 1), None),
    ],
)
def test_stores_of_the_environment(
    environ: dict[str, str], postgres: Store | None, redis: Store | None
) -> None:
    """Where they are, without who may enter."""
    assert (postgres_in(environ), redis_in(environ)) == (postgres, redis)


def test_a_store_that_does_not_answer() -> None:
    """The reason is told; one that answers has none."""
    port = free_port("127.0.0.1")

    assert "refused" in (problem_reaching(Store("127.0.0.1", port)) or "")
    with socket.create_server(("127.0.0.1", port)):
        assert problem_reaching(Store("127.0.0.1", port)) is None


def test_the_report_of_a_check() -> None:
    """Every problem with its line, and a sum."""
    problems = [
        ConfigProblem("c.yaml", 3, "model_list[0].modell", "unknown key", "model", severity="error"),
        ConfigProblem("c.yaml", 9, "x", "ignored", severity="warning"),
    ]
    text = report(Path("c.yaml"), problems)

    assert "error: c.yaml:3: model_list[0].modell" in text
    assert "can not be used: 1 error, 1 warning" in text
