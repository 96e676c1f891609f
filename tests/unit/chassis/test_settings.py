"""Settings come from the environment; mistakes stop the start with a name and a suggestion."""

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from meshgate_chassis.errors import MeshError
from meshgate_chassis.settings import ServiceSettings, load_settings

SECRET = "0123456789abcdef"


class SampleSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="MESHGATE_SAMPLE_")

    listen: str = "127.0.0.1:1"
    workers_max: int = Field(4, ge=1)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHGATE_MESH_SECRET", SECRET)


def problem() -> str:
    with pytest.raises(MeshError) as caught:
        load_settings(SampleSettings)
    assert "SETTINGS_INVALID" == caught.value.reason
    return caught.value.message


def test_own_and_shared_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a service's prefix, or under the name that everybody uses."""
    monkeypatch.setenv("MESHGATE_SAMPLE_WORKERS_MAX", "9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=b,c=d=e")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "250")
    monkeypatch.setenv("LITELLM_LOG", "DEBUG")

    settings = load_settings(SampleSettings)

    assert 250 == settings.trace_export_delay_ms
    assert (9, "DEBUG") == (settings.workers_max, settings.log_level)
    assert "http://collector:4317" == settings.otlp_endpoint
    assert {"a": "b", "c": "d=e"} == settings.otlp_headers


def test_an_unknown_name_with_our_prefix_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the nearest one that exists."""
    monkeypatch.setenv("MESHGATE_SAMPLE_WORKER_MAX", "9")

    assert "did you mean MESHGATE_SAMPLE_WORKERS_MAX?" in problem()


@pytest.mark.parametrize(("name", "value"), [("WORKERS_MAX", "0"), ("WORKERS_MAX", "many")])
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The message names the setting, and does not repeat what it was given."""
    monkeypatch.setenv(f"MESHGATE_SAMPLE_{name}", value)

    said = problem()

    assert name in said
    assert "many" not in said


def test_a_secret_is_needed_and_has_to_be_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services without a shared secret do not start."""
    monkeypatch.setenv("MESHGATE_MESH_SECRET", "short")
    with pytest.raises(MeshError) as caught:
        load_settings(SampleSettings).secret_bytes()
    assert "MESH_SECRET_WEAK" == caught.value.reason

    monkeypatch.delenv("MESHGATE_MESH_SECRET")
    assert "MESHGATE_MESH_SECRET" in problem()


def test_half_of_tls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate without its key is a mistake."""
    monkeypatch.setenv("MESHGATE_TLS_CERTIFICATE_FILE", "/x/cert.pem")

    assert "TLS needs" in problem()


def test_the_secret_does_not_show() -> None:
    """Neither in repr nor in str."""
    settings = load_settings(SampleSettings)

    assert SECRET not in f"{settings!r} {settings}"
