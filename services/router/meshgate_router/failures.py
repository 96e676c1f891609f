"""All failed calls of one request -> the one error that leaves the router: pure.

The keys of its metadata are a contract: protos/README.md, "Error metadata".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from meshgate_chassis.chat.json import dumps
from meshgate_chassis.config.model import Deployment
from meshgate_chassis.errors import Code, MeshError
from meshgate_router.providers.base import ErrorKind, ProviderError

MESSAGE_CHARACTERS_MAX: Final = 1_000
ATTEMPTS_TOLD_MAX: Final = 32
SECRET_CHARACTERS_MIN: Final = 6  # shorter keys ("none", "fake") are words, not secrets

CODES: Final[Mapping[ErrorKind, Code]] = {
    ErrorKind.RATE_LIMITED: Code.RESOURCE_EXHAUSTED,
    ErrorKind.TIMEOUT: Code.DEADLINE_EXCEEDED,
    ErrorKind.UNAVAILABLE: Code.UNAVAILABLE,
    ErrorKind.AUTHENTICATION_FAILED: Code.UNAUTHENTICATED,
    ErrorKind.BAD_REQUEST: Code.INVALID_ARGUMENT,
    ErrorKind.NOT_FOUND: Code.NOT_FOUND,
    ErrorKind.CONTEXT_WINDOW_EXCEEDED: Code.INVALID_ARGUMENT,
    ErrorKind.CONTENT_FILTERED: Code.INVALID_ARGUMENT,
    ErrorKind.OTHER: Code.UNKNOWN,
    ErrorKind.NOT_SUPPORTED: Code.UNIMPLEMENTED,
    ErrorKind.UNSUPPORTED_PARAMETER: Code.INVALID_ARGUMENT,
    ErrorKind.FIELD_INVALID: Code.INVALID_ARGUMENT,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed call. `group`: the public name it was made for."""

    group: str
    deployment: Deployment
    error: ProviderError


@dataclass(frozen=True, slots=True)
class Passed:
    """A group that was not called at all, and why."""

    group: str
    provider: str
    reason: str


@dataclass(frozen=True, slots=True)
class Counts:
    """`retries`: within all groups. `fallbacks`: groups tried after the first. `passed`: groups that were not
    called."""

    retries: int
    fallbacks: int
    passed: Sequence[Passed] = ()


def error_of_failures(group: str, failures: Sequence[Failure], counts: Counts) -> MeshError:
    """The first failure of the requested group, else the first at all; all of them in the metadata."""
    assert failures, "an error needs a failure"
    told = next((failure for failure in failures if failure.group == group), failures[0])
    error = told.error
    message = safe_text(error.message, told.deployment)
    return MeshError(
        CODES[error.kind],
        error.kind.value,
        message,
        metadata=_metadata(told, message, failures, counts),
        retry_after_s=error.retry_after_s,
        fields=dict(error.fields),
    )


def broken_stream(failure: Failure, counts: Counts, failures: Sequence[Failure]) -> MeshError:
    """UNAVAILABLE/PROVIDER_STREAM_BROKEN: what was sent stands, and nothing more will come. `failures`: all
    of the request, this one the last."""
    message = safe_text(failure.error.message, failure.deployment)
    metadata = _metadata(failure, message, failures, counts)
    return MeshError(
        Code.UNAVAILABLE,
        "PROVIDER_STREAM_BROKEN",
        f"the provider's answer broke off: {message}",
        metadata=metadata,
    )


def cooling_down(model: str, wait_s: float) -> MeshError:
    """RESOURCE_EXHAUSTED/DEPLOYMENTS_COOLING_DOWN: nothing was called."""
    return MeshError(
        Code.RESOURCE_EXHAUSTED,
        "DEPLOYMENTS_COOLING_DOWN",
        f"No deployments available for selected model, Try again in {max(1, round(wait_s))} seconds. "
        f"Passed model={model}.",
        metadata={"model": model, "http_status": "429", "upstream_calls": "0"},
        retry_after_s=max(1.0, wait_s),
    )


def limits_reached(model: str, wait_s: float) -> MeshError:
    """RESOURCE_EXHAUSTED/DEPLOYMENT_LIMITS_REACHED: nothing was called."""
    return MeshError(
        Code.RESOURCE_EXHAUSTED,
        "DEPLOYMENT_LIMITS_REACHED",
        f"No deployments available for selected model: every deployment is at its rate limit. "
        f"Try again in {max(1, round(wait_s))} seconds. Passed model={model}.",
        metadata={"model": model, "http_status": "429", "upstream_calls": "0"},
        retry_after_s=max(1.0, wait_s),
    )


def not_permitted(model: str) -> MeshError:
    """FAILED_PRECONDITION/DEPLOYMENTS_NOT_PERMITTED: nothing was called."""
    return MeshError(
        Code.FAILED_PRECONDITION,
        "DEPLOYMENTS_NOT_PERMITTED",
        f"No deployment of {model} may be used: all are blocked, or none has the request's tags",
        metadata={"model": model, "http_status": "400", "upstream_calls": "0"},
    )


def model_not_found(model: str) -> MeshError:
    """NOT_FOUND/MODEL_NOT_FOUND."""
    return MeshError(
        Code.NOT_FOUND,
        "MODEL_NOT_FOUND",
        f"Model not found: there is no model {model!r}",
        metadata={"model": model, "upstream_calls": "0"},
    )


def too_late(model: str) -> MeshError:
    """DEADLINE_EXCEEDED/DEADLINE_TOO_CLOSE: nothing was called."""
    return MeshError(
        Code.DEADLINE_EXCEEDED,
        "DEADLINE_TOO_CLOSE",
        "too little time is left to call a provider",
        metadata={"model": model, "upstream_calls": "0"},
    )


def safe_text(text: str, deployment: Deployment) -> str:
    """Providers like to quote the key they refuse; bounded."""
    key = deployment.api_key.value if deployment.api_key else ""
    if len(key) >= SECRET_CHARACTERS_MIN:
        text = text.replace(key, "***")
    return text[:MESSAGE_CHARACTERS_MAX]


def _metadata(told: Failure, message: str, failures: Sequence[Failure], counts: Counts) -> dict[str, str]:
    error = told.error
    attempts = [
        {
            "group": failure.group,
            "provider": failure.deployment.provider,
            "reason": failure.error.kind.value,
        }
        for failure in failures[:ATTEMPTS_TOLD_MAX]
    ]
    attempts += [
        {"group": each.group, "provider": each.provider, "reason": each.reason}
        for each in counts.passed[:ATTEMPTS_TOLD_MAX]
    ]
    return {
        "http_status": str(error.http_status),
        "provider": told.deployment.provider,
        "model_group": told.group,
        "provider_message": message,
        "provider_error_type": safe_text(error.type, told.deployment),
        "provider_error_code": safe_text(error.code, told.deployment),
        "provider_error_param": error.param,
        "upstream_calls": str(sum(failure.error.sent for failure in failures)),
        "deployment_id": failures[-1].deployment.id,
        "attempts": dumps(attempts).decode(),
        "attempted_retries": str(counts.retries),
        "attempted_fallbacks": str(counts.fallbacks),
    }
