"""Counts calls for Prometheus: an observer, and a collector that reads table.py's families from it.

Invariants: the number of label sets is bounded, whatever clients send. What exceeds a bound is counted under
"other" and never dropped, so that sums stay right. A missing label value is the text "None", as in LiteLLM.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError
from meshgate_edge.call import CallInfo
from meshgate_edge.http.error_table import row_of
from meshgate_edge.metrics.table import COUNTERS, HISTOGRAMS, CounterFamily, Family, HistogramFamily, Which
from meshgate_edge.metrics.totals import Distribution, Totals

LABEL_SETS_MAX: Final = 1_000
CALLERS_MAX: Final = 500
MODELS_MAX: Final = 500
NONE: Final = "None"
OTHER: Final = "other"
UNKNOWN: Final = "unknown"
ROUTE: Final = "/v1/chat/completions"
CANCELLED_STATUS: Final = "499"
NOBODY: Final = (NONE, NONE, NONE, NONE)
NO_KEY_REASONS: Final = frozenset(
    {"KEY_MISSING", "KEY_MALFORMED", "KEY_UNKNOWN", "KEY_EXPIRED", "KEY_BLOCKED"}
)
OTHERS: Final = (OTHER, OTHER, OTHER, OTHER)

_STATUS_WORDS: Final = {"success": "success", "cache_hit": "success", "cancelled": "cancelled"}


@dataclass(frozen=True, slots=True)
class LabelSet:
    """All that tells calls apart in metrics. `caller`: key hash, key alias, user and team."""

    outcome: str
    status: str
    exception: str
    requested_model: str
    model_group: str
    deployment_id: str
    provider: str
    upstream_model: str
    api_base: str
    caller: tuple[str, str, str, str]
    authenticated: bool


@dataclass(frozen=True, slots=True)
class _Record:
    """The calls of one label set, and what they count for."""

    labels: dict[str, str]
    which: frozenset[Which]
    served: bool
    totals: Totals


class CallMetrics(Collector):
    """A CallObserver. `in_flight` is for the HTTP rim to move."""

    def __init__(self, registry: CollectorRegistry, models: Iterable[str], clock: Clock) -> None:
        self._models = tuple(dict.fromkeys(models))
        self._names = _BoundedNames(self._models, MODELS_MAX)
        self._callers = _BoundedNames((), CALLERS_MAX)
        self._records: dict[LabelSet, _Record] = {}
        self.in_flight = InFlightCount()
        _own_gauges(registry, clock, self.in_flight)
        registry.register(self)

    def finished(self, info: CallInfo, error: MeshError | None) -> None:
        """Counts one call. See CallObserver."""
        labels = self._label_set(info, error)
        record = self._records.get(labels)
        if record is None:
            if len(self._records) >= LABEL_SETS_MAX:
                labels = _folded(labels)
            record = self._records.setdefault(labels, _new_record(labels))
        record.totals.add(info)

    def collect(self) -> Iterator[Metric]:
        """Every family, for the registry; may run in another thread than `finished`."""
        records = list(self._records.values())
        merged: dict[str, Metric] = {}
        for counter in COUNTERS:
            sums = self._counted(counter, records)
            known = merged.setdefault(counter.name, Metric(counter.name, counter.help, "counter"))
            for values, amount in sums.items():
                labels = dict(zip(counter.labels, values, strict=True))
                known.add_sample(f"{counter.name}_total", labels, amount)
            if counter.twin:
                yield _twin(known)
        yield from merged.values()
        for histogram in HISTOGRAMS:
            yield self._histogram(histogram, records)

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry would take a counter and its twin for one name."""
        return ()

    def _counted(self, family: CounterFamily, records: list[_Record]) -> dict[tuple[str, ...], float]:
        sums = dict.fromkeys(self._from_the_start(family), 0.0)
        for record in _chosen(family, records):
            values = _values(family, record)
            sums[values] = sums.get(values, 0.0) + family.value(record.totals)
        return sums

    def _histogram(self, family: HistogramFamily, records: list[_Record]) -> Metric:
        empty = family.value(Totals()).bounds
        groups: dict[tuple[str, ...], list[Distribution]] = {
            values: [] for values in self._from_the_start(family)
        }
        for record in _chosen(family, records):
            groups.setdefault(_values(family, record), []).append(family.value(record.totals))
        metric = Metric(family.name, family.help, "histogram")
        for values, distributions in groups.items():
            total = Distribution(empty)
            total.add_all(distributions)
            _add_histogram(metric, dict(zip(family.labels, values, strict=True)), total)
        return metric

    def _from_the_start(self, family: Family) -> list[tuple[str, ...]]:
        """Label values shown before any call, so that a first look finds the plain families."""
        if not family.labels:
            return [()]
        if not family.public:
            return []
        last = {"status": ("success", "failure"), "type": (family.fixed.get("type", ""),)}
        rest = last.get(family.labels[-1])
        if rest is None:
            return [(model,) for model in self._models]
        return [(model, value) for model in self._models for value in rest]

    def _label_set(self, info: CallInfo, error: MeshError | None) -> LabelSet:
        row = None if error is None else row_of(error)
        authenticated = error is None or error.reason not in NO_KEY_REASONS
        caller = NOBODY
        if authenticated and info.key_hash:
            caller = (info.key_hash, info.key_alias or NONE, info.user_id or NONE, info.team_id or NONE)
            if not self._callers.has_room_for(caller):
                caller = OTHERS
        served = bool(info.deployment_id)
        return LabelSet(
            outcome=info.outcome,
            status=_status(info, None if row is None else row.status),
            exception=NONE if row is None else row.exception,
            requested_model=self._model_name(info.model, served=served),
            model_group=self._model_name(info.model_group or info.model, served=served),
            deployment_id=info.deployment_id or NONE,
            provider=info.provider or NONE,
            upstream_model=self._model_name(_answered_by(info), served=True) if served else NONE,
            api_base=info.api_base or NONE,
            caller=caller,
            authenticated=authenticated,
        )

    def _model_name(self, name: str, *, served: bool) -> str:
        """A model that nobody served and nobody configured is whatever a client made up."""
        if not name:
            return NONE if served else UNKNOWN
        if self._names.knows(name):
            return name
        if not served:
            return UNKNOWN
        return name if self._names.has_room_for(name) else OTHER


def _answered_by(info: CallInfo) -> str:
    """The provider's name of the model; of an answer from the cache the group's, whose answer it is."""
    return info.upstream_model or (info.model_group if info.cache_hit else "")


class InFlightCount:
    """Requests under way."""

    def __init__(self) -> None:
        self.count = 0

    def inc(self) -> None:
        self.count += 1

    def dec(self) -> None:
        self.count -= 1


class _BoundedNames:
    """The first names that come; then it is full."""

    def __init__(self, names: Iterable[object], count_max: int) -> None:
        self._names = set(names)
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


def _own_gauges(registry: CollectorRegistry, clock: Clock, in_flight: InFlightCount) -> None:
    start_s = clock.monotonic_s()
    uptime = Gauge("litellm_uptime_seconds", "Since this process started", registry=registry)
    uptime.set_function(lambda: clock.monotonic_s() - start_s)
    for name in ("litellm_in_flight_requests", "litellm_concurrent_requests"):
        Gauge(name, "Requests under way", registry=registry).set_function(lambda: float(in_flight.count))


def _new_record(labels: LabelSet) -> _Record:
    key_hash, key_alias, user, team = labels.caller
    values = {
        "end_user": NONE,  # chosen by clients, so without bound; LiteLLM leaves it out by default as well
        "hashed_api_key": key_hash,
        "api_key_alias": key_alias,
        "user": user,
        "user_email": NONE,
        "team": team,
        "team_alias": NONE,
        "requested_model": labels.requested_model,
        "model_group": labels.model_group,
        "model": labels.upstream_model,
        "litellm_model_name": labels.upstream_model,
        "model_id": labels.deployment_id,
        "api_base": labels.api_base,
        "api_provider": labels.provider,
        "status_code": labels.status,
        "exception_status": labels.status,
        "exception_class": labels.exception,
        "route": ROUTE,
        "status": _STATUS_WORDS.get(labels.outcome, "failure"),
    }
    return _Record(values, _which(labels), labels.deployment_id != NONE, Totals())


def _which(labels: LabelSet) -> frozenset[Which]:
    """What calls of this outcome count for."""
    which: set[Which] = {"all", "authenticated" if labels.authenticated else "no_key"}
    if labels.outcome != "denied":
        which.add("billed")
    if labels.outcome == "cache_hit":
        which |= {"success", "cache_hit"}
    elif labels.outcome == "success":
        which |= {"success", "cache_miss"}
    elif labels.outcome != "cancelled":
        which.add("failure")
    if labels.outcome == "denied" and labels.exception == "RateLimitError":
        which.add("limited")
    return frozenset(which)


def _chosen(family: Family, records: list[_Record]) -> Iterator[_Record]:
    of_deployment = "litellm_model_name" in family.labels
    for record in records:
        if family.which in record.which and (record.served or not of_deployment):
            yield record


def _values(family: Family, record: _Record) -> tuple[str, ...]:
    labels = record.labels
    if family.public:
        labels = labels | {"model": labels["requested_model"]}
    return tuple(family.fixed.get(name) or labels[name] for name in family.labels)


def _add_histogram(metric: Metric, labels: dict[str, str], total: Distribution) -> None:
    count = 0
    bounds = (*map(str, total.bounds), "+Inf")
    for bound, under in zip(bounds, total.counts, strict=True):
        count += under
        metric.add_sample(f"{metric.name}_bucket", labels | {"le": bound}, count)
    metric.add_sample(f"{metric.name}_count", labels, count)
    metric.add_sample(f"{metric.name}_sum", labels, total.sum)


def _twin(metric: Metric) -> Metric:
    twin = Metric(metric.name, f"{metric.documentation} (as {metric.name}_total)", "unknown")
    for sample in metric.samples:
        twin.add_sample(metric.name, sample.labels, sample.value)
    return twin


def _status(info: CallInfo, error_status: int | None) -> str:
    if error_status is not None:
        return str(error_status)
    return CANCELLED_STATUS if info.outcome == "cancelled" else "200"


def _folded(labels: LabelSet) -> LabelSet:
    served = labels.deployment_id != NONE
    return replace(
        labels,
        requested_model=OTHER,
        model_group=OTHER,
        deployment_id=OTHER if served else NONE,
        provider=OTHER,
        upstream_model=OTHER,
        api_base=OTHER,
        caller=OTHERS,
    )
