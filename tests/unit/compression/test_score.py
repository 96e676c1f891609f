"""Values of units: what each consideration does."""

from meshgate_compression.score import Weights, said_before, unit_values
from meshgate_compression.words import terms


def values(texts: list[str], paragraphs: list[int], question: str) -> list[float]:
    return unit_values([terms(text) for text in texts], paragraphs, terms(question), Weights())


def test_relevance_beats_information() -> None:
    """With a question, the unit that shares its rare words is worth most."""
    texts = ["The brewery burned in a fire.", "Extraordinary circumstances prevailed.", "The baker slept."]
    found = values(texts, [0, 0, 0], "When did the brewery burn?")

    assert 0 == found.index(max(found))


def test_the_right_paragraph_lifts_its_units() -> None:
    """The answer often stands beside the words of the question."""
    texts = ["The brewery is old.", "It was sold in spring.", "The theatre is new.", "It was sold in autumn."]
    found = values(texts, [0, 0, 1, 1], "Who owns the brewery?")

    assert found[1] > found[3]


def test_what_was_said_is_worth_less() -> None:
    """A repetition adds nothing; the first time counts."""
    texts = ["The pump failed at noon.", "Nobody came.", "The pump failed at noon."]
    found = values(texts, [0, 0, 0], "")

    assert found[2] < found[0] / 2
    assert [0.0, 0.0, 1.0] == said_before([terms(text) for text in texts])


def test_without_words_there_is_no_value() -> None:
    """Nothing to divide by."""
    assert [0.0, 0.0] == values(["the", "..."], [0, 1], "")
