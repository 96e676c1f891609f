"""The verifier refuses what differs in a fact, and never calls a trap the same."""

import gzip
import json
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshgate_cache.semantic.reading import CHARACTERS_MAX, read
from meshgate_cache.semantic.verifier import Difference, compare, verify
from tests.support.shared_data import shared_data
from tests.unit.cache.semantic.pairs import paraphrases, traps

TRAPS = traps()
QUESTIONS = [text for pairs in TRAPS.values() for pair in pairs for text in pair]


@pytest.mark.parametrize("kind", TRAPS)
def test_no_trap_is_the_same(kind: str) -> None:
    """Not one of them, in either direction."""
    same = [pair for pair in TRAPS[kind] if verify(*pair).same or verify(*reversed(pair)).same]

    assert [] == same


def test_most_traps_are_refused_for_a_fact() -> None:
    """No score is asked about them: at least 600 pairs, at most 4 % left undecided."""
    pairs = [pair for kind in TRAPS.values() for pair in kind]
    undecided = [pair for pair in pairs if not verify(*pair).refused]

    assert 600 <= len(pairs)
    assert len(undecided) <= 0.04 * len(pairs), undecided


def test_paraphrases_of_the_faq_kind_pass() -> None:
    """At least three quarters are the same by wording alone; at most 4 % are refused."""
    pairs = paraphrases()
    verdicts = [verify(*pair) for pair in pairs]

    assert 0.75 * len(pairs) <= sum(verdict.same for verdict in verdicts)
    assert sum(verdict.refused for verdict in verdicts) <= 0.04 * len(pairs)


@pytest.mark.parametrize(
    ("stored", "asked", "difference"),
    [
        ("What is the capital of France?", "What is the capital city of France?", None),
        ("What is the capital of France?", "What is the population of Paris?", Difference.KIND),
        ("Where is order 48213?", "Where is order 48231?", Difference.NUMBER),
        ("How many is 1,000 times two?", "How many is 1000 times 2?", None),
        ("Is twenty five enough?", "Is 25 enough?", None),
        ("What is 5 km in feet?", "What is 5 kilometres in feet?", None),
        ("Who leads the U.S. army?", "Who leads the US army?", None),
        ("I don't like it. Why?", "I do not like it. Why?", None),
        ('What\'s "ennui"?', "What is ennui?", None),
        ("", "", None),
        ("?", "!", None),
        ("Is 9999999999999999 odd?", "Is 9999999999999998 odd?", Difference.SUBSTITUTED),
        ("two " + "million " * 60, "two " + "million " * 61, Difference.WORDS),
        ("Can I go to Delhi?", "Can they go to Delhi?", Difference.PERSON),  # "they" ends in no greeting
        ("Why is demand rising?", "Why is demand falling?", Difference.OPPOSITE),
        ("How do I merge a branch?", "How do I rebase a branch?", Difference.SUBSTITUTED),
        ("Do I owe you money?", "Do you owe me money?", Difference.PERSON),
        ("Who invited Anna?", "Who did Anna invite?", Difference.ORDER),
        ("What does a cat eat?", "What eats a cat?", Difference.ORDER),
        ("Who bit the dog?", "Who was bitten by the dog?", Difference.ORDER),
        ("Who painted the Mona Lisa?", "By whom was the Mona Lisa painted?", None),
        ("How many calories does it have?", "What is the number of calories in it?", None),
        ("How do I raise my credit limit?", "How can I increase my credit limit?", None),
        ("How do I raise my son?", "How do I increase my son?", Difference.SUBSTITUTED),
        ("Why was my card declined?", "Why did my card get declined?", None),
        ("Which card do you accept?", "Which card accepts you?", Difference.ORDER),
        ("At what time is the concert?", "What time is the concert?", Difference.WORDS),
        ("Can asthma be cured?", "Can I cure asthma?", None),
        ("Could you tell me how I can pay?", "How do I pay?", None),
        ("Do you know where the office is?", "Where is the office?", None),
        ("I was wondering if I can cancel my order", "Can I cancel my order?", None),
        ("Why have I been charged twice?", "Why was I charged twice?", None),
        ("How long have I been insured?", "How long was I insured?", Difference.UNEXPLAINED),
        ("Is my data encrypted?", "Do you encrypt my data?", None),
        ("Was my data encrypted?", "Do you encrypt my data?", Difference.TENSE),
        ("I forgot my PIN, what now?", "What should I do if I have forgotten my PIN?", None),
        ("How many states does the US have?", "How many states are there in the United States?", None),
        ("Can you help us?", "Can you help the US?", Difference.KIND),
        ("Why don't I get mail?", "Why do I not get mail?", None),
        ("How do crocodiles differ from alligators?", "How are crocodiles and alligators different?", None),
        ("Who stars in the remake of Dune?", "Who stars in the original Dune?", Difference.UNEXPLAINED),
        ("Had the patient eaten?", "Has the patient eaten?", Difference.UNEXPLAINED),
        ("How do I make a plan?", "How do I make a plane?", Difference.UNEXPLAINED),
        ("Name a river in Poland.", "Name the rivers in Poland.", Difference.UNEXPLAINED),
        ("Can just members vote?", "Can members just vote?", Difference.UNEXPLAINED),
        ("What does arr[-1] return?", "What does arr[1] return?", Difference.ADDED),
        ("How do you store my data?", "How do I store my data?", Difference.PERSON),
        ("Switch the lights off.", "Turn off the lights.", None),
        ("At what time does it start?", "On which date does it start?", Difference.QUESTION),
        ("Refund all items.", "Refund the other items.", Difference.SCOPE),
        ("Who captains the team?", "Who captained the team?", Difference.TENSE),
        ("Who leads the team?", "Who will lead the team?", Difference.TENSE),
        ("What does she show?", "What has she shown?", Difference.TENSE),
        ("When is my next bill due?", "When was my last bill due?", Difference.OPPOSITE),
        ("What if it goes off?", "What if it fails to go off?", Difference.NEGATION),
        ("Is it shared with others?", "Is it kept from others?", Difference.NEGATION),
        ("Is 40 GB enough?", "Is 40 Gb enough?", Difference.UNIT),
        ("Is 5 mW enough?", "Is 5 MW enough?", Difference.NAME),
        ("What is 3 times -5?", "What is 3 times 5?", Difference.ADDED),
        ("Wie hoch ist die Miete?", "wie hoch ist die Miete", None),
        ("Wie hoch ist die Miete?", "Wie hoch ist unsere Miete?", Difference.LANGUAGE),
        ("¿Dónde está la entrada?", "dónde está la entrada", None),
        ("Where is the Museo del Prado?", "where is the museo del prado", None),
        ("9" * 500, "9" * 500, None),
        ("x" * (CHARACTERS_MAX + 1), "x" * (CHARACTERS_MAX + 1), Difference.UNREADABLE),
    ],
)
def test_differences_are_named(stored: str, asked: str, difference: Difference | None) -> None:
    """By the first fact that differs."""
    assert difference == verify(stored, asked).difference


@given(text=st.text(max_size=200) | st.sampled_from(QUESTIONS))
@settings(max_examples=300, deadline=None)
def test_a_text_is_the_same_as_itself(text: str) -> None:
    """Whatever it holds; reading never fails."""
    assert verify(text, text).same


@given(first=st.sampled_from(QUESTIONS), second=st.sampled_from(QUESTIONS) | st.text(max_size=50))
@settings(max_examples=500, deadline=None)
def test_it_does_not_matter_which_was_stored(first: str, second: str) -> None:
    """The verdict is symmetric."""
    a, b = read(first), read(second)

    assert compare(a, b).difference == compare(b, a).difference


@pytest.mark.parametrize(("name", "same_min", "refused_max", "false_max"), [("qqp_dev", 0.04, 0.58, 0.06)])
def test_recorded_pairs(name: str, same_min: float, refused_max: float, false_max: float) -> None:
    """Measured, so that a change for the worse is seen. Labels of these pairs are noisy, hence the bounds."""
    counts: Counter[tuple[int, str]] = Counter()
    with gzip.open(shared_data(f"paraphrase/{name}.jsonl.gz")) as lines:
        for row in map(json.loads, islice(lines, 0, None, 4)):
            verdict = verify(row["a"], row["b"])
            kind = "same" if verdict.same else "refused" if verdict.refused else "undecided"
            counts[row["same"], kind] += 1
    positives = sum(count for (label, _), count in counts.items() if label == 1)
    said_same = counts[0, "same"] + counts[1, "same"]

    assert counts[1, "same"] >= same_min * positives
    assert counts[1, "refused"] <= refused_max * positives
    assert counts[0, "same"] <= false_max * said_same


MIXTURE = """² ٣ \uff11 5 1,000 2.5 million two twenty hundred th k % second first one ' " ` ``` n't
can't U.S. a_b x.y() /a/b 3/4 $ °C é 中文 What is ? not to from ( ) # #1 + ++ c++ \u2019 “ ”"""
FRAGMENTS = st.sampled_from(sorted(set(MIXTURE.split())))


@given(parts=st.lists(FRAGMENTS, max_size=12), glue=st.sampled_from(["", " ", "\n"]))
@settings(max_examples=1_000, deadline=None)
def test_reading_never_fails(parts: list[str], glue: str) -> None:
    """On any mixture of what it looks for."""
    text = glue.join(parts)

    assert verify(text, text).same
