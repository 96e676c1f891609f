"""No line of the project is longer than a reader's window, whatever the language of its file."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINE_CHARACTERS_MAX = 110
DATA_SUFFIXES = (".json", ".jsonl", ".svg")
GENERATED_FOLDERS = ("protos/gen/", "docs/benchmarks/")
# These have landed: a database knows them by their checksums.
FROZEN = frozenset(
    f"services/ledger/meshgate_ledger/migrations/{name}.sql"
    for name in (
        "0001_tables",
        "0002_reserve",
        "0003_close",
        "0004_accounts",
        "0005_decide",
        "0006_close",
        "0007_entities",
        "0008_reports",
        "0009_watch",
    )
)


def is_written_by_hand(name: str) -> bool:
    """`name`: a path from the root. Data, generated and frozen files have the lines that they have."""
    is_lock_file = name.startswith("requirements/") and name.endswith(".txt")
    is_generated = name.startswith(GENERATED_FOLDERS) or is_lock_file
    return not (is_generated or name.endswith(DATA_SUFFIXES) or name in FROZEN)


def is_too_long(line: str, *, tables: bool) -> bool:
    """In characters. A row of a Markdown table and a long address cannot be broken."""
    if len(line) <= LINE_CHARACTERS_MAX or (tables and line.lstrip().startswith("|")):
        return False
    return not any("://" in word and len(word) > LINE_CHARACTERS_MAX // 2 for word in line.split())


def long_lines(text: str, *, tables: bool) -> list[int]:
    """Their numbers."""
    return [number for number, line in enumerate(text.split("\n"), 1) if is_too_long(line, tables=tables)]


def text_of(path: Path) -> str:
    """Empty for what is no text, or was removed since."""
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, FileNotFoundError):
        return ""


def test_lines_are_short() -> None:
    """Of every file that is kept."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this tree has no git: what is kept is not known")
    names = [name for name in listed.stdout.split("\0") if name and is_written_by_hand(name)]
    assert len(names) > 500
    long = [
        f"{name}:{number}"
        for name in names
        for number in long_lines(text_of(ROOT / name), tables=name.endswith(".md"))
    ]
    assert [] == long


@pytest.mark.parametrize(
    ("line", "suffix", "is_long"),
    [
        ("é" * 110, ".py", False),
        ("x" * 111, ".py", True),
        ("x = y  # type: ignore[arg-type]  # " + "reason " * 20, ".py", True),
        ("| a | " + "word " * 30 + "|", ".md", False),
        ("| a | " + "word " * 30 + "|", ".sql", True),
        ("see https://example.org/" + "path/" * 30, ".md", False),
        ("see https://example.org/ and " + "word " * 30, ".md", True),
    ],
)
def test_the_check_can_fail(line: str, suffix: str, is_long: bool) -> None:
    """Characters, not bytes; comments that linters leave out count too."""
    assert ([2] if is_long else []) == long_lines(f"short\n{line}\n", tables=suffix == ".md")


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("README.md", True),
        ("services/edge/meshgate_edge/app.py", True),
        ("services/ledger/meshgate_ledger/migrations/0004_accounts.sql", False),
        ("services/ledger/meshgate_ledger/migrations/0010_other.sql", True),
        ("protos/gen/meshgate_protos/chat/v1/chat_pb2.pyi", False),
        ("requirements/run.txt", False),
        ("requirements/run.in", True),
        ("docs/benchmarks/hedging.json", False),
    ],
)
def test_what_is_left_out(name: str, by_hand: bool) -> None:
    """Only what a person did not write, or may not change."""
    assert by_hand is is_written_by_hand(name)


def test_frozen_files_exist() -> None:
    """The list of exceptions names files, not hopes."""
    assert [] == [name for name in FROZEN if not (ROOT / name).is_file()]
