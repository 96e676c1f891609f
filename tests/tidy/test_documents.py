"""Documents name only what exists: files, headings, targets of the Makefile, variables."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/*.md", "protos/*.md", "services/*/*.md") for path in ROOT.glob(pattern)
)
CODE_FOLDERS = ("services", "protos", "tools", "tests", "bench", "deploy", "docs", "requirements")
CODE_SUFFIXES = (".py", ".proto", ".sql", ".c", ".sh", ".md", ".json", ".yaml", ".txt", ".toml", ".in")
# Made by whoever follows the document.
MADE_LATER = frozenset({"config.yaml"})


def names(document: Path, pattern: str) -> Iterator[str]:
    """What the pattern finds in it."""
    yield from re.findall(pattern, document.read_text(encoding="utf-8"))


def headings(document: Path) -> set[str]:
    """Their anchors, as they are made on code hosts."""
    found = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in found}


def ours() -> list[Path]:
    """Every file that a document may name."""
    found = [path for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*")]
    return [
        path
        for path in (*ROOT.iterdir(), *found)
        if path.is_file() and path.suffix in CODE_SUFFIXES and "/gen/" not in str(path)
    ]


@pytest.fixture(scope="module")
def endings() -> list[str]:
    """Their paths from the root, and what is said for short: edge/pipeline.py."""
    whole = [f"/{path.relative_to(ROOT)}" for path in ours()]
    return whole + [re.sub(r"/meshgate_\w+/", "/", name, count=1) for name in whole]


@pytest.fixture(scope="module")
def source() -> str:
    """All of the project's code but its tests, in one text."""
    code = [path for path in ours() if path.suffix in (".py", ".yaml") and ROOT / "tests" not in path.parents]
    return "".join(path.read_text(encoding="utf-8") for path in code)


def test_there_are_documents() -> None:
    """A wrong path must not make the rules pass."""
    assert len(DOCUMENTS) > 20


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """To a file that exists, and to a heading that it has."""
    broken = []
    for target, anchor in names(document, r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)"):
        if re.match(r"[a-z]+:", target):
            continue
        file = document.parent / target if target else document
        if not file.exists() or (anchor and anchor not in headings(file)):
            broken.append(f"{target}#{anchor}")
    assert [] == broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(document: Path, endings: list[str]) -> None:
    """A path in backticks is the end of one of ours."""
    ends = "|".join(re.escape(suffix[1:]) for suffix in CODE_SUFFIXES)
    missing = [
        name
        for name in names(document, rf"`([\w./-]*\w\.(?:{ends}))`")
        if name not in MADE_LATER and not any(ending.endswith(f"/{name}") for ending in endings)
    ]
    assert [] == missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_targets_exist(document: Path) -> None:
    """`make x` can be typed."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    asked = [word for line in names(document, r"(?:`|\$ )make ([a-z][a-z -]*)") for word in line.split()]
    assert [] == [word for word in asked if word not in targets]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_variables_exist(document: Path, source: str) -> None:
    """MESHGATE_<SERVICE>_<SETTING> is a field of that service's settings, or stands in the code as it is."""
    missing = []
    for name in set(names(document, r"MESHGATE_[A-Z_]+[A-Z]\b")):
        setting = re.sub(r"^MESHGATE_(EDGE|LEDGER|CACHE|COMPRESSION|ROUTER|DEMO)_", "", name).lower()
        if name not in source and not re.search(rf"^    {setting}: ", source, re.MULTILINE):
            missing.append(name)
    assert [] == missing


def test_each_check_can_fail(tmp_path: Path, endings: list[str], source: str) -> None:
    """On a document that is wrong in every way."""
    wrong = tmp_path / "wrong.md"
    wrong.write_text("[a](b.md) and [c](#d), `no_such_module.py`, `make sandwich`, MESHGATE_EDGE_NO_SUCH")
    for check in (
        lambda: test_links_lead_somewhere(wrong),
        lambda: test_named_files_exist(wrong, endings),
        lambda: test_named_targets_exist(wrong),
        lambda: test_named_variables_exist(wrong, source),
    ):
        with pytest.raises(AssertionError):
            check()
