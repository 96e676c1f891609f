"""Collects what is wrong with a configuration, so that the operator hears all of it at once.

Invariant: no message ever carries a value of the file or of the environment, because any of them may be
a secret that landed on the wrong line. Names (keys, model groups, variables) are shown, unless they look
like a credential themselves.
"""

import difflib
from collections.abc import Iterable

from meshgate_chassis.config.model import ConfigProblem, Severity
from meshgate_chassis.config.node import Node


class ConfigError(Exception):
    """The configuration cannot be used. Prints every problem, one per line."""

    def __init__(self, problems: Iterable[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Problems:
    """Errors and warnings in the order they were found."""

    def __init__(self) -> None:
        self._found: list[ConfigProblem] = []

    def error(self, node: Node, message: str, suggestion: str | None = None) -> None:
        """The configuration is refused."""
        self._add("error", node, message, suggestion)

    def warn(self, node: Node, message: str, suggestion: str | None = None) -> None:
        """The configuration is used all the same."""
        self._add("warning", node, message, suggestion)

    @property
    def all(self) -> tuple[ConfigProblem, ...]:
        """Everything found."""
        return tuple(self._found)

    @property
    def warnings(self) -> tuple[ConfigProblem, ...]:
        """What does not stop the start."""
        return tuple(problem for problem in self._found if problem.severity == "warning")

    def is_wrong(self, node: Node) -> bool:
        """Whether an error was found in this place."""
        return any(
            (each.path, each.line, each.where, each.severity) == (node.path, node.line, node.where, "error")
            for each in self._found
        )

    def raise_errors(self) -> None:
        """Raises ConfigError if there is an error."""
        errors = [problem for problem in self._found if problem.severity == "error"]
        if errors:
            raise ConfigError(errors)

    def _add(self, severity: Severity, node: Node, message: str, suggestion: str | None) -> None:
        problem = ConfigProblem(node.path, node.line, node.where, message, suggestion, severity)
        if problem not in self._found:  # a value read for two purposes is reported once
            self._found.append(problem)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return found[0] if found else None
