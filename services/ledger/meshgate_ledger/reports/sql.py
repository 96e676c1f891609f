"""Builds a query's text and its parameters together. Values never become text."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Conditions:
    """A WHERE clause as it grows. Column names are ours, values are the caller's."""

    parameters: list[Any] = field(default_factory=list)
    clauses: list[str] = field(default_factory=list)

    def parameter(self, value: Any) -> str:
        """The placeholder of a value: $1, $2, ..."""
        self.parameters.append(value)
        return f"${len(self.parameters)}"

    def compare(self, column: str, operator: str, value: Any) -> None:
        """`column operator value`, unless the value is None."""
        if value is not None:
            self.clauses.append(f"{column} {operator} {self.parameter(value)}")

    def among(self, column: str, values: Sequence[str]) -> None:
        """The column is one of the values; none: anything goes."""
        if len(values) == 1:
            self.compare(column, "=", values[0])
        elif values:
            self.clauses.append(f"{column} = ANY ({self.parameter(list(values))}::text[])")

    def overlap(self, column: str, values: Sequence[str]) -> None:
        """The array column has one of the values; none: anything goes."""
        if values:
            self.clauses.append(f"{column} && {self.parameter(list(values))}::text[]")

    @property
    def where(self) -> str:
        return f"WHERE {' AND '.join(self.clauses)}" if self.clauses else ""
