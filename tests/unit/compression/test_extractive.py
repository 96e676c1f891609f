# ruff: noqa: RUF001 - punctuation of other scripts is the material here
"""The extractive compressor: hits its target, keeps what it must, says that it cut."""

import pytest

from meshgate_compression.extractive import Section, extract
from meshgate_compression.render import MARK
from tests.unit.compression.passages import TOPICS, count, document, paragraph


def shorten(text: str, ratio: float, question: str = "") -> str:
    return extract([Section(text)], ratio, question, count)[0]


@pytest.mark.parametrize("ratio", [0.33, 0.5, 0.7])
@pytest.mark.parametrize("question", ["", "Who paid for the lighthouse?"])
def test_the_ratio_is_reached(ratio: float, question: str) -> None:
    """Within 10 % of the target, counted with the real tokenizer."""
    text = document()
    reached = count(shorten(text, ratio, question)) / count(text)

    assert ratio == pytest.approx(reached, rel=0.1)


@pytest.mark.parametrize("topic", TOPICS)
def test_the_answer_is_kept_word_for_word(topic: str) -> None:
    """The sentence that answers stays whole at 3x, wherever it stands."""
    result = shorten(document(), 0.33, f"Who paid for the {topic}?")

    assert f"A merchant named Oskar Lind{topic} paid for the {topic} out of his own pocket." in result


def test_the_cut_is_marked_once() -> None:
    """Readers and later compressors can tell; a whole text bears no mark."""
    assert 1 == shorten(document(), 0.5).count(MARK)
    assert MARK not in shorten(document(), 1.0)


def test_blocks_come_on_top_of_the_budget() -> None:
    """Much code does not starve the prose around it."""
    code = "```\n" + "\n".join(f"line_{n} = {n}" for n in range(200)) + "\n```"
    text = f"{document()}\n\n{code}"
    result = shorten(text, 0.5)

    assert code in result
    assert 0.5 == pytest.approx(count(result.replace(code, "")) / count(document()), rel=0.1)


def test_numbers_of_cut_sentences_stay() -> None:
    """As fragments, in order, beside the gap sign."""
    facts = " ".join(f"Somebody counted {n} sheep on the hill that day." for n in range(1000, 1040))
    result = shorten(f"{document()}\n\n{facts}", 0.33, "Who paid for the museum?")

    positions = [result.index(str(n)) for n in range(1000, 1040)]
    assert sorted(positions) == positions
    assert "…1039" in result


def test_documents_compete_for_one_budget() -> None:
    """The document that answers keeps more than one that does not."""
    sections = [Section(paragraph(topic)) for topic in TOPICS]
    results = extract(sections, 0.33, "Who paid for the orchard?", count)
    shares = {
        topic: len(result) / len(section.text)
        for topic, result, section in zip(TOPICS, results, sections, strict=True)
    }

    assert "orchard" == max(shares, key=lambda topic: shares[topic])


def test_fixed_ranges_stay() -> None:
    """Whatever they say."""
    text = document()
    start = text.index("People of the neighbourhood", 2000)
    end = text.index(".", start) + 1
    result = extract([Section(text, ((start, end),))], 0.2, "Who paid for the harbour?", count)[0]

    assert text[start:end] in result


def test_chinese_and_japanese_questions_find_their_sentences() -> None:
    """Without spaces between words."""
    fillers = "".join(f"第{word}段讲的是天气和收成的情况，没有别的内容。" for word in "甲乙丙丁戊己庚辛壬癸")
    answer = "灯塔是由商人林德出资建造的。"
    text = fillers + answer + fillers.replace("天气", "道路")

    assert answer in shorten(text, 0.33, "灯塔是谁出资建造的？")
