"""Keeps a run: JSON with everything, and a plot for the eye."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine import REPOSITORY, commit, machine
from bench.plot import plot
from bench.session import Result
from bench.verdict import Verdict

RESULTS = REPOSITORY / "docs" / "benchmarks"


def write(folder: Path, name: str, results: Mapping[str, Result], noise: Mapping[str, Any]) -> list[Path]:
    """`name`.json and `name`.svg: the newest run of its kind; git keeps the older ones."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "noise": dict(noise),
        "subjects": {subject: result_record(result) for subject, result in results.items()},
    }
    data, picture = folder / f"{name}.json", folder / f"{name}.svg"
    data.write_text(json.dumps(record, indent=1) + "\n")
    told = f"{record['commit']}, {machine()['cores']} cores, {record['at']}"
    picture.write_text(plot(results, told))
    return [data, picture]


def write_alone(name: str, content: Mapping[str, Any], verdicts: Sequence[Verdict]) -> Path:
    """`name`.json of a run without peers, with what it has to show."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    record = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "verdicts": [asdict(one) for one in verdicts],
        **content,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def result_record(result: Result) -> dict[str, Any]:
    """For JSON."""
    kept = asdict(replace(result, failures=Counter()))
    kept["failures"] = dict(result.failures)
    kept["figures"] = {
        name: {
            "median": round(spread.median, 4),
            "min": round(spread.low, 4),
            "max": round(spread.high, 4),
            "turns": [round(turn, 4) for turn in spread.turns],
        }
        for name, spread in result.figures.items()
    }
    kept["start_s"] = {name: round(seconds, 2) for name, seconds in result.start_s.items()}
    return kept
