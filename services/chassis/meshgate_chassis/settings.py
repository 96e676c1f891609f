"""What a service takes from its environment. The only place that reads it.

Names that LiteLLM or OpenTelemetry already have are used as they are; ours begin with MESHGATE_.
A name with a service's own prefix that nobody knows stops the start, with the nearest known one.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.transport import DEFAULT_TRANSPORT, Transport
from meshgate_chassis.telemetry_options import EXPORT_DELAY_MS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# What Kubernetes puts into every container for a Service whose name begins like ours.
SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_\w+)$")


def named(*names: str) -> AliasChoices:
    """The environment variables a setting may come from, the first one wins."""
    return AliasChoices(*names)


class ServiceSettings(BaseSettings):
    """What every service needs. Subclasses set `env_prefix` to MESHGATE_<SERVICE>_ and add their own."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    listen: str  # "127.0.0.1:50051", "[::1]:50051" or "unix:/path"
    metrics_listen: str = ""  # "127.0.0.1:9101"; empty = no metrics listener of its own

    config_file: Path | None = Field(None, validation_alias=named("CONFIG_FILE_PATH"))
    mesh_secret: SecretStr | None = Field(None, validation_alias=named("MESHGATE_MESH_SECRET"))
    mesh_secret_file: Path | None = Field(None, validation_alias=named("MESHGATE_MESH_SECRET_FILE"))
    tls_certificate_file: Path | None = Field(None, validation_alias=named("MESHGATE_TLS_CERTIFICATE_FILE"))
    tls_key_file: Path | None = Field(None, validation_alias=named("MESHGATE_TLS_KEY_FILE"))
    tls_ca_file: Path | None = Field(None, validation_alias=named("MESHGATE_TLS_CA_FILE"))
    plaintext_allowed: bool = Field(False, validation_alias=named("MESHGATE_PLAINTEXT_ALLOWED"))

    # Both ends of a call may differ in it.
    rpc_transport: Transport = Field(DEFAULT_TRANSPORT, validation_alias=named("MESHGATE_RPC_TRANSPORT"))

    drain_grace_s: float = Field(30.0, ge=0, le=3_600, validation_alias=named("MESHGATE_DRAIN_GRACE_S"))
    drain_delay_s: float = Field(0.0, ge=0, le=300, validation_alias=named("MESHGATE_DRAIN_DELAY_S"))

    log_level: str | None = Field(
        None, validation_alias=named("MESHGATE_LOG_LEVEL", "LITELLM_LOG", "LITELLM_LOG_LEVEL")
    )
    json_logs: bool | None = Field(None, validation_alias=named("MESHGATE_JSON_LOGS", "JSON_LOGS"))

    otlp_endpoint: str | None = Field(
        None, validation_alias=named("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_ENDPOINT")
    )
    otlp_protocol: str = Field("grpc", validation_alias=named("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER"))
    otlp_headers: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, validation_alias=named("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_HEADERS")
    )
    trace_sample_ratio: float = Field(1.0, ge=0, le=1, validation_alias=named("OTEL_TRACES_SAMPLER_ARG"))
    trace_export_delay_ms: int = Field(
        EXPORT_DELAY_MS, gt=0, le=60_000, validation_alias=named("OTEL_BSP_SCHEDULE_DELAY")
    )
    otel_service_name: str | None = Field(None, validation_alias=named("OTEL_SERVICE_NAME"))

    @model_validator(mode="before")
    @classmethod
    def _split_headers(cls, values: object) -> object:
        """OTel writes headers as "k=v,k2=v2"."""
        if isinstance(values, dict):
            for name in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_HEADERS"):
                if isinstance(values.get(name), str):
                    pairs = (item.split("=", 1) for item in values[name].split(",") if "=" in item)
                    values[name] = {key.strip(): value.strip() for key, value in pairs}
        return values

    @model_validator(mode="after")
    def _whole(self) -> Self:
        tls = (self.tls_certificate_file, self.tls_key_file, self.tls_ca_file)
        if any(tls) and not all(tls):
            raise ValueError("TLS needs a certificate file, a key file and a CA file")
        if self.mesh_secret is None and self.mesh_secret_file is None:
            raise ValueError("set MESHGATE_MESH_SECRET or MESHGATE_MESH_SECRET_FILE")
        return self

    def secret_bytes(self) -> bytes:
        """The mesh secret, at least 16 bytes."""
        if self.mesh_secret is not None:
            secret = self.mesh_secret.get_secret_value()
        else:
            assert self.mesh_secret_file is not None
            secret = self.mesh_secret_file.read_text().strip()
        if len(secret) < 16:
            raise MeshError(
                Code.FAILED_PRECONDITION,
                "MESH_SECRET_WEAK",
                "the mesh secret needs 16 characters or more",
            )
        return secret.encode()


Settings = TypeVar("Settings", bound=ServiceSettings)


def load_settings(settings_type: type[Settings]) -> Settings:
    """Reads the environment; raises MeshError FAILED_PRECONDITION/SETTINGS_INVALID naming each problem."""
    prefix = settings_type.model_config.get("env_prefix", "")
    known = {f"{prefix}{name}".upper() for name in settings_type.model_fields}
    ours = [name for name in os.environ if prefix and name.startswith(prefix)]
    unknown = [name for name in ours if name not in known and not SERVICE_LINK.search(name)]
    problems = []
    for name in unknown:
        near = difflib.get_close_matches(name, known, 1)
        problems.append(f"{name} is not a setting" + (f" (did you mean {near[0]}?)" if near else ""))
    try:
        settings = settings_type()
    except ValidationError as error:
        problems += [_told(settings_type, problem) for problem in error.errors(include_input=False)]
        raise _invalid(problems) from None
    if problems:
        raise _invalid(problems)
    return settings


def environment() -> Mapping[str, str]:
    """A copy of the environment, for readers of config.yaml that resolve `os.environ/NAME`."""
    return dict(os.environ)


def _told(settings_type: type[ServiceSettings], problem: "ErrorDetails") -> str:
    """One problem under the name of its environment variable, without the value."""
    if not problem["loc"]:
        return problem["msg"].removeprefix("Value error, ")
    name = str(problem["loc"][0])
    prefix = settings_type.model_config.get("env_prefix", "")
    shown = f"{prefix}{name}".upper() if name in settings_type.model_fields else name
    return f"{shown}: {problem['msg']}"


def _invalid(problems: list[str]) -> MeshError:
    return MeshError(Code.FAILED_PRECONDITION, "SETTINGS_INVALID", "; ".join(problems))
