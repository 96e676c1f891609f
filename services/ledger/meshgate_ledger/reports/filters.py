# ruff: noqa: S608 - column names are ours, values are parameters
"""What a report is asked for, checked: filters, dimensions, days; and where its sums are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum

from meshgate_chassis.errors import invalid_field
from meshgate_ledger.reports.sql import Conditions
from meshgate_protos.ledger.v1 import report_service_pb2 as pb

SUM_COLUMNS = (
    "spend_nanos",
    "saved_nanos",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_creation_tokens",
    "reasoning_tokens",
    "requests",
    "failures",
    "cancelled",
    "cache_hits",
    "duration_us",
    "timed_requests",
)
VALUES_MAX = 100
CHARACTERS_MAX = 512
DAYS_MAX = 366


class Dimension(Enum):
    """A way to tell spend apart; the value is its column. Labels have a table of their own."""

    DAY = "day"
    KEY = "key_hash"
    USER = "user_id"
    TEAM = "team_id"
    ORGANIZATION = "organization_id"
    MODEL = "model"
    MODEL_GROUP = "model_group"
    PROVIDER = "provider"
    END_USER = "end_user"
    TAG = "tag"

    @property
    def is_label(self) -> bool:
        return self in (Dimension.END_USER, Dimension.TAG)


# What ledger.day_team_totals tells apart.
OF_TEAMS = frozenset(
    {Dimension.TEAM, Dimension.ORGANIZATION, Dimension.MODEL, Dimension.MODEL_GROUP, Dimension.PROVIDER}
)


@dataclass(frozen=True, slots=True)
class SpendFilter:
    """All that is set must hold; of one list, any value."""

    start_day: date | None = None
    end_day: date | None = None  # included
    key_hashes: tuple[str, ...] = ()
    user_ids: tuple[str, ...] = ()
    team_ids: tuple[str, ...] = ()
    organization_ids: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    model_groups: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    end_users: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def label(self, wanted: Sequence[Dimension] = ()) -> Dimension | None:
        """Which label it is about, if any, together with the dimensions wanted.

        Raises `invalid_field` for both at once: which calls have both is only in the entries.
        """
        has_tag = bool(self.tags) or Dimension.TAG in wanted
        has_end_user = bool(self.end_users) or Dimension.END_USER in wanted
        if has_tag and has_end_user:
            raise invalid_field("filter.tags", "tags and end users can not be told apart together")
        return Dimension.TAG if has_tag else Dimension.END_USER if has_end_user else None

    def on_days(self, label: Dimension | None) -> Conditions:
        """The condition on a row of the daily sums, those of `label` if there is one."""
        conditions = Conditions()
        if label is not None:
            conditions.compare("kind", "=", label.value)
            conditions.among("label", self.tags if label is Dimension.TAG else self.end_users)
        conditions.compare("day", ">=", self.start_day)
        conditions.compare("day", "<=", self.end_day)
        for column, values in self.common():
            conditions.among(column, values)
        return conditions

    def dimensions(self) -> frozenset[Dimension]:
        """Those that are filtered by, besides the day."""
        named = {Dimension.END_USER: self.end_users, Dimension.TAG: self.tags}
        named |= {Dimension(column): values for column, values in self.common()}
        return frozenset(dimension for dimension, values in named.items() if values)

    def values_of(self, dimension: Dimension) -> tuple[str, ...]:
        """What it is filtered by; none: anything goes."""
        if dimension.is_label:
            return self.tags if dimension is Dimension.TAG else self.end_users
        return dict(self.common()).get(dimension.value, ())

    def common(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The columns that entries and daily sums share, but for the model."""
        return (
            ("key_hash", self.key_hashes),
            ("user_id", self.user_ids),
            ("team_id", self.team_ids),
            ("organization_id", self.organization_ids),
            ("model", self.models),
            ("model_group", self.model_groups),
            ("provider", self.providers),
        )


@dataclass(frozen=True, slots=True)
class Source:
    """What sums are read from, and the condition; `columns` of its rows are those of the daily sums."""

    table: str
    conditions: Conditions


def source_of(wanted: SpendFilter, totals_before: date, group_by: Sequence[Dimension] = ()) -> Source:
    """Totals by one dimension where that is all a report is about, those of teams where keys and users do not
    matter, the daily sums for everything else.

    There are totals of the days before `totals_before`; those after it come from the daily sums.
    """
    label = wanted.label(group_by)
    about = wanted.dimensions() | (frozenset(group_by) - {Dimension.DAY})
    if len(about) > 1 and about <= OF_TEAMS:
        return Source(f"({_with_team_totals(totals_before)}) d", wanted.on_days(None))
    if len(about) > 1:
        return Source(table_of(label), wanted.on_days(label))
    (dimension,) = about or (None,)
    conditions = Conditions()
    conditions.compare("day", ">=", wanted.start_day)
    conditions.compare("day", "<=", wanted.end_day)
    if dimension is not None:
        conditions.among(column_of(dimension), wanted.values_of(dimension))
    return Source(f"({_with_totals(dimension, totals_before)}) d", conditions)


def _with_totals(dimension: Dimension | None, before: date) -> str:
    """A query with the columns of the dimension and the sums.

    The day is no parameter: how few days come after it has to be known when the query is planned.
    """
    column = "" if dimension is None else f"{column_of(dimension)}, "
    value = "" if dimension is None else f"value AS {column_of(dimension)}, "
    name = "all" if dimension is None else dimension.value
    label = dimension if dimension is not None and dimension.is_label else None
    of_label = "" if label is None else f"kind = '{label.value}' AND "
    sums = ", ".join(SUM_COLUMNS)
    return (
        f"SELECT day, {value}imported, {sums} FROM ledger.day_totals "
        f"WHERE dimension = '{name}' AND day < '{before}' "
        f"UNION ALL SELECT day, {column}imported, {sums} FROM {table_of(label)} "
        f"WHERE {of_label}day >= '{before}'"
    )


def _with_team_totals(before: date) -> str:
    """As `_with_totals`, with every dimension that totals of teams have."""
    columns = ", ".join((*(each.value for each in Dimension if each in OF_TEAMS), *SUM_COLUMNS))
    return (
        f"SELECT day, imported, {columns} FROM ledger.day_team_totals WHERE day < '{before}' "
        f"UNION ALL SELECT day, imported, {columns} FROM ledger.daily_spend WHERE day >= '{before}'"
    )


def table_of(label: Dimension | None) -> str:
    return "ledger.daily_spend" if label is None else "ledger.daily_label_spend"


def column_of(dimension: Dimension) -> str:
    """Its column in the table that has it."""
    return "label" if dimension.is_label else dimension.value


def filter_from(message: pb.SpendFilter) -> SpendFilter:
    """Raises `invalid_field`."""
    start, end = _day("start_day", message.start_day), _day("end_day", message.end_day)
    if start is not None and end is not None and start > end:
        raise invalid_field("filter.start_day", "start_day is after end_day")
    return SpendFilter(
        start,
        end,
        *(
            _values(name, getattr(message, name))
            for name in (
                "key_hashes",
                "user_ids",
                "team_ids",
                "organization_ids",
                "models",
                "model_groups",
                "providers",
                "end_users",
                "tags",
            )
        ),
    )


def dimension_from(field: str, value: int) -> Dimension:
    """Raises `invalid_field`."""
    for dimension in Dimension:
        if pb.Dimension.Value(f"DIMENSION_{dimension.name}") == value:
            return dimension
    raise invalid_field(field, "is not a dimension")


def bounded(field: str, value: int, default: int, maximum: int) -> int:
    """0 is the default. Raises `invalid_field`."""
    if not 0 <= value <= maximum:
        raise invalid_field(field, f"must be 1 to {maximum}")
    return value or default


def _day(field: str, text: str) -> date | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day, not a moment
    except ValueError:
        raise invalid_field(f"filter.{field}", "must be a day like 2026-11-20") from None


def _values(field: str, values: Sequence[str]) -> tuple[str, ...]:
    if len(values) > VALUES_MAX:
        raise invalid_field(f"filter.{field}", f"has more than {VALUES_MAX} values")
    for value in values:
        if len(value) > CHARACTERS_MAX or "\0" in value:
            raise invalid_field(f"filter.{field}", "has a value that can not be")
    return tuple(values)
