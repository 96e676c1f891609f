"""Protected spans: found where they are, and nowhere in plain prose."""

import pytest

from meshgate_compression.spans import Kind, find_spans


def kinds(text: str) -> dict[str, Kind]:
    return {text[s.start : s.end]: s.kind for s in find_spans(text)}


@pytest.mark.parametrize(
    ("text", "span", "kind"),
    [
        ("It cost $3,400.50 then.", "$3,400.50", Kind.NUMBER),
        ("Up by 12.5% since.", "12.5%", Kind.NUMBER),
        ("In the mid-1930s it", "mid-1930s", Kind.NUMBER),
        ("about 6½ sacks", "6½", Kind.NUMBER),
        ("see v2.0.1, then", "v2.0.1", Kind.NUMBER),
        ("at -40 degrees", "-40", Kind.NUMBER),
        ("会议于2015年举行", "2015", Kind.NUMBER),
        ("约三百人参加", "三百", Kind.NUMBER),
        ("٣٤ كتابا", "٣٤", Kind.NUMBER),
        ('she said "never again" and', '"never again"', Kind.QUOTE),
        ("she said 'never again' and", "'never again'", Kind.QUOTE),
        ("sie sagte „nie wieder“ und", "„nie wieder“", Kind.QUOTE),
        ("elle dit «jamais plus» et", "«jamais plus»", Kind.QUOTE),
        ("彼は「もう二度と」と言った", "「もう二度と」", Kind.QUOTE),
        ("call `render(x)` now", "`render(x)`", Kind.INLINE_CODE),
        ("see https://example.com/a?b=c#d.", "https://example.com/a?b=c#d", Kind.URL),
        ("see www.example.org/x, or", "www.example.org/x", Kind.URL),
        ("ask ops+mesh@example.org today", "ops+mesh@example.org", Kind.URL),
        ("in /etc/meshgate/config.yaml now", "/etc/meshgate/config.yaml", Kind.URL),
        ("in ./src/app.py now", "./src/app.py", Kind.URL),
        ("in C:\\Users\\ada now", "C:\\Users\\ada", Kind.URL),
        ('<document index="1"> x', '<document index="1">', Kind.TAG),
        ("we met Ada Lovelace there", "Ada Lovelace", Kind.NAME),
        ("the University of Apulia and", "University of Apulia", Kind.NAME),
        ("according to NATO there", "NATO", Kind.NAME),
        ("вчера Анна Ахматова пришла", "Анна Ахматова", Kind.NAME),
    ],
)
def test_inline_spans(text: str, span: str, kind: Kind) -> None:
    """Each kind is found whole, and nothing around it."""
    assert kind == kinds(text).get(span), kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = {}\n\ny = 1\n```",
        "~~~\nplain\n~~~",
        '{"name": "Ada", "tags": ["a"], "note": "a } brace"}',
        '[{"a": 1}, {"a": 2}]',
        "[1, 2, 3]",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "name\tage\nAda\t36\nBob\t41",
        "name,age,town\nAda,36,London\nBob,41,Bonn",
        "<pre>keep   this</pre>",
        "def f(x):\n    return g(x)\nclass A:\n    pass",
        "int main() {\n  return 0;\n}",
    ],
)
def test_blocks_are_whole(text: str) -> None:
    """A block is one span, from its first to its last character."""
    around = f"Some words before it.\n\n{text}\n\nSome words after it."

    blocks = [around[s.start : s.end] for s in find_spans(around) if s.kind is Kind.BLOCK]
    covered = "".join(blocks)
    assert all(line.strip() in covered for line in text.splitlines() if line.strip() != "pass")
    assert "words" not in covered


def test_an_open_fence_reaches_to_the_end() -> None:
    """As Markdown has it; a cut-off answer is common."""
    text = "Look:\n```js\nlet a = 1\n\nlet b"

    assert [Kind.BLOCK] == [s.kind for s in find_spans(text) if s.end == len(text)]


def test_truncated_json_is_protected() -> None:
    """Tools cut their output; the rest is still JSON, not prose."""
    text = '{"results": [{"title": "The old town hall", "body": "It was built by'

    assert [(0, len(text))] == [(s.start, s.end) for s in find_spans(text)]


def test_prose_is_free() -> None:
    """Apostrophes, slashes, brackets and sentence starts do not protect plain words."""
    text = "It's the dog's bone and/or the cats' milk (maybe). Nobody knows. Well, hardly anybody."

    assert [] == find_spans(text)


def test_a_fixed_range_takes_in_the_block_it_overlaps() -> None:
    """A caller's range that ends inside a fence must not leave half a fence unprotected."""
    text = "Fix this:\n```\na\n\nb\n```\nThank you."
    spans = find_spans(text, [(0, text.index("b"))])

    assert (0, text.rindex("```") + 3, Kind.FIXED) == (spans[0].start, spans[0].end, spans[0].kind)
