"""Counts calls for Prometheus: an observer over the families of metric_table.py.

Invariants: the number of label sets is bounded, whatever clients send. What exceeds a bound is counted under
"other" and never dropped, so that sums stay right. A missing label value is the text "None", as in LiteLLM.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call import CallInfo
from meshgate_edge.http_error_table import row_of
from meshgate_edge.metric_table import FAMILIES, Family, When

LABEL_SETS_MAX: Final = 1_000
CALLERS_MAX: Final = 500
MODELS_MAX: Final = 500
NONE: Final = "None"
OTHER: Final = "other"
UNKNOWN: Final = "unknown"
ROUTE: Final = "/v1/chat/completions"
CANCELLED_STATUS: Final = "499"

_STATUS_WORDS: Final = {"success": "success", "cache_hit": "success", "cancelled": "cancelled"}

Recorder = tuple[Callable[[float], None], Callable[[CallInfo], float | None]]


@dataclass(frozen=True, slots=True)
class _LabelSet:
    """All that tells calls apart in metrics."""

    outcome: str
    status: str
    exception: str
    requested_model: str
    model_group: str
    deployment_id: str
    provider: str
    upstream_model: str
    api_base: str
    caller: tuple[str, str, str, str]  # key hash, key alias, user, team
    authenticated: bool


class CallMetrics:
    """A CallObserver. `in_flight` is for the HTTP rim to move."""

    def __init__(self, registry: CollectorRegistry, models: Iterable[str], clock: Clock) -> None:
        self._families: dict[str, Any] = {}
        for family in FAMILIES:  # a name may have several rows in the table
            if family.name not in self._families:
                self._families[family.name] = _register(family, registry)
        self._bound: dict[_LabelSet, tuple[Recorder, ...]] = {}
        self._models = _BoundedNames(models, MODELS_MAX)
        self._callers = _BoundedNames((), CALLERS_MAX)
        self.in_flight = Gauge("litellm_in_flight_requests", "Requests under way", registry=registry)
        _own_gauges(registry, clock, self.in_flight)
        twins = [self._families[family.name] for family in FAMILIES if family.twin]
        registry.register(_Twins(twins))
        self._zero(models)

    def finished(self, info: CallInfo, error: MeshError | None) -> None:
        """Counts one call. See CallObserver."""
        labels = self._label_set(info, error)
        recorders = self._bound.get(labels)
        if recorders is None:
            if len(self._bound) >= LABEL_SETS_MAX:
                labels = _folded(labels)
            recorders = self._bound.get(labels) or self._bind(labels)
        for record, amount in recorders:
            value = amount(info)
            if value is not None:
                record(value)

    def _label_set(self, info: CallInfo, error: MeshError | None) -> _LabelSet:
        row = None if error is None else row_of(error)
        authenticated = error is None or error.code is not Code.UNAUTHENTICATED
        caller = (NONE, NONE, NONE, NONE)
        if authenticated and info.key_hash:
            caller = (info.key_hash, info.key_alias or NONE, info.user_id or NONE, info.team_id or NONE)
            if not self._callers.has_room_for(caller):
                caller = (OTHER, OTHER, OTHER, OTHER)
        served = bool(info.deployment_id)
        return _LabelSet(
            outcome=info.outcome,
            status=_status(info, None if row is None else row.status),
            exception="" if row is None else row.exception,
            requested_model=self._model_name(info.model, served=served),
            model_group=self._model_name(info.model_group or info.model, served=served),
            deployment_id=info.deployment_id or NONE,
            provider=info.provider or NONE,
            upstream_model=self._model_name(info.upstream_model, served=True) if served else NONE,
            api_base=info.api_base or NONE,
            caller=caller,
            authenticated=authenticated,
        )

    def _model_name(self, name: str, *, served: bool) -> str:
        """A model that nobody served and nobody configured is whatever a client made up."""
        if not name:
            return NONE if served else UNKNOWN
        if self._models.knows(name):
            return name
        if not served:
            return UNKNOWN
        return name if self._models.has_room_for(name) else OTHER

    def _bind(self, labels: _LabelSet) -> tuple[Recorder, ...]:
        values = _label_values(labels)
        moments = _moments(labels)
        recorders = []
        for family in FAMILIES:
            if family.when in moments and (labels.deployment_id != NONE or not _of_deployment(family)):
                child = _child(self._families[family.name], family, values)
                record = child.inc if family.kind == "counter" else child.observe
                recorders.append((record, family.amount))
        self._bound[labels] = tuple(recorders)
        return self._bound[labels]

    def _zero(self, models: Iterable[str]) -> None:
        """Shows the plain families from the start, so that a first look finds them."""
        for family in FAMILIES:
            if family.labels and set(family.labels) <= {"model", "status", "type"}:
                for model in models:
                    for status in ("success", "failure") if "status" in family.labels else ("",):
                        _child(
                            self._families[family.name], family, {"requested_model": model, "status": status}
                        )


class _BoundedNames:
    """The first names that come; then it is full."""

    def __init__(self, names: Iterable[str], count_max: int) -> None:
        self._names: set[object] = set(names)
        self._count_max = max(count_max, len(self._names))

    def knows(self, name: object) -> bool:
        return name in self._names

    def has_room_for(self, name: object) -> bool:
        """True for a name that is known, or is from now on."""
        if name not in self._names:
            if len(self._names) >= self._count_max:
                return False
            self._names.add(name)
        return True


class _Twins(Collector):
    """A collector that repeats counters under their names without `_total`."""

    def __init__(self, counters: list[Any]) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        for counter in self._counters:
            for metric in counter.collect():
                twin = Metric(metric.name, f"{metric.documentation} (as {metric.name}_total)", "unknown")
                for sample in metric.samples:
                    if sample.name.endswith("_total"):
                        twin.add_sample(metric.name, sample.labels, sample.value)
                yield twin


def _register(family: Family, registry: CollectorRegistry) -> Any:
    if family.kind == "counter":
        return Counter(family.name, family.help, family.labels, registry=registry)
    return Histogram(family.name, family.help, family.labels, registry=registry, buckets=family.buckets)


def _own_gauges(registry: CollectorRegistry, clock: Clock, in_flight: Gauge) -> None:
    start_s = clock.monotonic_s()
    uptime = Gauge("litellm_uptime_seconds", "Since this process started", registry=registry)
    uptime.set_function(lambda: clock.monotonic_s() - start_s)
    concurrent = Gauge("litellm_concurrent_requests", "Requests under way", registry=registry)
    concurrent.set_function(lambda: next(iter(in_flight.collect())).samples[0].value)


def _child(metric: Any, family: Family, values: Mapping[str, str]) -> Any:
    if not family.labels:
        return metric
    if family.public:
        values = {**values, "model": values["requested_model"]}
    return metric.labels(*[family.fixed.get(name) or values[name] for name in family.labels])


def _of_deployment(family: Family) -> bool:
    return "litellm_model_name" in family.labels


def _status(info: CallInfo, error_status: int | None) -> str:
    if error_status is not None:
        return str(error_status)
    return CANCELLED_STATUS if info.outcome == "cancelled" else "200"


def _moments(labels: _LabelSet) -> set[When]:
    """Which families this outcome moves."""
    moments: set[When] = {"always", "authenticated" if labels.authenticated else "refused_key"}
    if labels.outcome != "denied":
        moments.add("billed")
    if labels.outcome == "cache_hit":
        moments |= {"success", "cache_hit"}
    elif labels.outcome == "success":
        moments |= {"success", "cache_miss"}
    elif labels.outcome != "cancelled":
        moments.add("failure")
    return moments


def _label_values(labels: _LabelSet) -> dict[str, str]:
    key_hash, key_alias, user, team = labels.caller
    return {
        "end_user": NONE,  # chosen by clients, so without bound; LiteLLM leaves it out by default as well
        "hashed_api_key": key_hash,
        "api_key_alias": key_alias,
        "user": user,
        "user_email": NONE,
        "team": team,
        "team_alias": NONE,
        "requested_model": labels.requested_model,
        "model_group": labels.model_group,
        "litellm_model_name": labels.upstream_model,
        "model_id": labels.deployment_id,
        "api_base": labels.api_base,
        "api_provider": labels.provider,
        "status_code": labels.status,
        "exception_status": labels.status,
        "exception_class": labels.exception or NONE,
        "route": ROUTE,
        "status": _STATUS_WORDS.get(labels.outcome, "failure"),
        "model": labels.upstream_model,
    }


def _folded(labels: _LabelSet) -> _LabelSet:
    return _LabelSet(
        outcome=labels.outcome,
        status=labels.status,
        exception=labels.exception,
        requested_model=OTHER,
        model_group=OTHER,
        deployment_id=OTHER if labels.deployment_id != NONE else NONE,
        provider=OTHER,
        upstream_model=OTHER,
        api_base=OTHER,
        caller=(OTHER, OTHER, OTHER, OTHER),
        authenticated=labels.authenticated,
    )
