"""What `meshgate doctor` finds."""

import socket
from pathlib import Path

import pytest

from meshgate_cli.doctor import DoctorOptions, doctor, findings
from meshgate_cli.state_lock import StateLock


def levels(options: DoctorOptions, environ: dict[str, str]) -> dict[str, str]:
    return {finding.subject: finding.level for finding in findings(options, environ)}


def test_a_bare_machine_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing set, nothing given: no problem, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    options = DoctorOptions(None, "127.0.0.1", 0, tmp_path / "state")

    assert doctor(options, {}) == 0
    assert list(tmp_path.iterdir()) == []


def test_problems_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A taken port, a broken configuration, stores that do not answer; exit code 1."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("model_list:\n  - litellm_params: {}\n")
    environ = {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = DoctorOptions(None, "127.0.0.1", taken.getsockname()[1], tmp_path / "state")
        found = levels(options, environ)
        code = doctor(options, environ)

    assert {name for name, level in found.items() if level == "problem"} == {
        "address",
        "configuration",
        "database",
        "cache",
    }
    assert code == 1


def test_keys_are_named_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The variable's name and the models it switches on."""
    monkeypatch.chdir(tmp_path)
    doctor(DoctorOptions(None, "127.0.0.1", 0, tmp_path / "state"), {"OPENAI_API_KEY": "sk-planted"})
    said = capsys.readouterr().out

    assert "OPENAI_API_KEY" in said
    assert "gpt-4o" in said
    assert "planted" not in said


def test_a_configuration_says_what_is_used(tmp_path: Path) -> None:
    """Its models and stores, not those that a start without one would have."""
    config = tmp_path / "c.yaml"
    config.write_text(
        "model_list:\n  - model_name: mine\n    litellm_params: {model: openai/m, api_key: x}\n"
        "general_settings: {database_url: 'postgresql://u:planted@127.0.0.1:1/x'}\n"
        "litellm_settings: {cache: true, cache_params: {type: redis, host: 127.0.0.1, port: 1}}\n"
    )
    options = DoctorOptions(config, "127.0.0.1", 0, tmp_path / "state")
    found = {one.subject: one for one in findings(options, {"OPENAI_API_KEY": "x"})}

    assert "PostgreSQL at 127.0.0.1:1" in found["database"].text
    assert "Redis at 127.0.0.1:1" in found["cache"].text
    assert found["models"].text == "mine"


@pytest.mark.parametrize(
    ("environ", "subject"),
    [
        ({"DATABASE_URL": "postgresql://u:planted@h:port/x"}, "database"),
        ({"DATABASE_URL": "planted"}, "database"),
        ({"REDIS_HOST": "r", "REDIS_PORT": "planted"}, "cache"),
        ({"REDIS_URL": "planted:6379"}, "cache"),
    ],
)
def test_an_address_that_cannot_be_meant_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], subject: str
) -> None:
    """And not the end of the report; what it was is not shown."""
    monkeypatch.chdir(tmp_path)
    options = DoctorOptions(None, "127.0.0.1", 0, tmp_path / "state")
    found = {one.subject: one for one in findings(options, environ)}

    assert found[subject].level == "problem"
    assert "planted" not in found[subject].text
    assert "models" in found


def test_a_running_mesh_is_no_problem(tmp_path: Path) -> None:
    """Its port is taken, by itself."""
    lock = StateLock(tmp_path / "lock")
    lock.take()
    lock.describe("http://127.0.0.1:4000")
    try:
        found = levels(DoctorOptions(None, "127.0.0.1", 4000, tmp_path), {})
    finally:
        lock.release()

    assert found["address"] == "note"
