# ruff: noqa: S311 - samples, not secrets
"""`make bench-compression`: quality, ratio and latency of the extractive compressor, as tables.

Quality: XQuAD questions whose paragraph stands among distractors, and QMSum questions over meetings,
against truncation, random sentences and self-information alone (Selective-Context's criterion) at the
same ratio. Latency: CPU time of whole conversations on one core, the tokenizer's work included.
Reads ../shared/data/compression; every random choice is seeded.
"""

import argparse
import gc
import gzip
import json
import os
import platform
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshgate_compression.compressor import EXTRACTIVE
from meshgate_compression.conversation import compress_conversation
from meshgate_compression.extractive import Section, extract
from meshgate_compression.messages import Message, Part
from meshgate_compression.policy import Policy
from meshgate_compression.score import Weights, information
from meshgate_compression.sentences import split_units
from meshgate_compression.spans import find_spans
from meshgate_compression.tokens import O200K, Count, Tokenizers
from meshgate_compression.words import terms

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "compression"
RATIOS = (1 / 2, 1 / 3)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
SENTENCE_GAP = re.compile(r"(?<=[.?!])\s+")
SEED = 7


@dataclass(frozen=True, slots=True)
class Case:
    """A question over a text. `needed`: answers, of which any one will do, or spans, all of them."""

    text: str
    question: str
    needed: tuple[str, ...]


Rows = list[dict[str, object]]
Method = Callable[[Case, float], str]


def rows_of(name: str) -> list[dict[str, Any]]:
    """The JSON lines of a data file."""
    with gzip.open(DATA / name) as lines:
        return [json.loads(line) for line in lines]


def answer_cases(paragraphs: int, near: bool, limit: int) -> Iterator[Case]:
    """XQuAD: the right paragraph at a random place among random, or neighbouring, ones."""
    rows = rows_of("xquad_en_dev.jsonl.gz")
    chance = random.Random(SEED)
    asked = [(index, qa) for index, row in enumerate(rows) for qa in row["qas"]]
    for index, qa in chance.sample(asked, min(limit, len(asked))):
        others = [i for i in range(len(rows)) if i != index]
        if near:
            others = [i for _, i in sorted((abs(i - index), i) for i in others)[: paragraphs - 1]]
        else:
            others = chance.sample(others, paragraphs - 1)
        texts = [rows[i]["context"] for i in (index, *others)]
        chance.shuffle(texts)
        yield Case("\n\n".join(texts), qa["question"], tuple(qa["answers"]))


def meeting_cases(limit: int) -> Iterator[Case]:
    """QMSum: a whole meeting; needed are the sentences of the turns that its annotators marked."""
    asked = [(row, query) for row in rows_of("qmsum_dev.jsonl.gz") for query in row["specific_query_list"]]
    for row, query in random.Random(SEED).sample(asked, min(limit, len(asked))):
        turns = row["meeting_transcripts"]
        text = "\n".join(f"{turn['speaker']}: {turn['content']}" for turn in turns)
        marked = {i for a, b in query["relevant_text_span"] for i in range(int(a), int(b) + 1)}
        said = [turns[i]["content"] for i in sorted(marked) if i < len(turns)]
        yield Case(text, query["query"], tuple(s for words in said for s in SENTENCE_GAP.split(words) if s))


def methods(count: Count) -> dict[str, Method]:
    """Ours and the baselines, each to the same share of tokens."""
    weights = Weights()

    def by_value(values: Callable[[Sequence[Sequence[str]]], Sequence[float]]) -> Method:
        def shorten(case: Case, ratio: float) -> str:
            units = split_units(case.text, find_spans(case.text))
            texts = [case.text[unit.start : unit.end] for unit in units]
            scores = values([terms(text) for text in texts])
            left = ratio * count(case.text)
            kept = set()
            for index in sorted(range(len(texts)), key=lambda i: -scores[i]):
                tokens = count(texts[index]) + 1
                if tokens <= left:
                    kept.add(index)
                    left -= tokens
            return "\n".join(text for index, text in enumerate(texts) if index in kept)

        return shorten

    def truncation(case: Case, ratio: float) -> str:
        return case.text[: int(len(case.text) * ratio)]

    chance = random.Random(SEED)
    return {
        "extractive (ours)": lambda case, ratio: extract([Section(case.text)], ratio, case.question, count)[
            0
        ],
        "extractive, no question": lambda case, ratio: extract([Section(case.text)], ratio, "", count)[0],
        "truncation": truncation,
        "random sentences": by_value(lambda units: [chance.random() for _ in units]),
        "self-information": by_value(lambda units: information(units, weights)),
    }


def bench_answers(count: Count, limit: int) -> Rows:
    """Share of questions with an answer kept; numbers kept and ratio reached, for ours."""
    rows: Rows = []
    print("\nXQuAD: answers kept, %             2x     3x    (ours: worst ratio/target; numbers lost)")
    for paragraphs, near in ((3, False), (5, False), (10, False), (5, True), (10, True)):
        cases = list(answer_cases(paragraphs, near, limit))
        label = f"{paragraphs} {'neighbouring' if near else 'random'} paragraphs"
        print(f"{label}, {len(cases)} questions")
        for name, shorten in methods(count).items():
            shares, notes = [], []
            for ratio in RATIOS:
                results = [shorten(case, ratio) for case in cases]
                pairs = list(zip(cases, results, strict=True))
                shares.append(100 * statistics.mean(any(a in r for a in c.needed) for c, r in pairs))
                if name.endswith("(ours)"):
                    off = max((count(r) / count(c.text) / ratio for c, r in pairs), key=lambda x: abs(x - 1))
                    lost = sum(
                        (Counter(NUMBER.findall(c.text)) - Counter(NUMBER.findall(r))).total()
                        for c, r in pairs
                    )
                    notes.append(f"{off:.3f}; {lost}")
            print(f"  {name:28}" + "".join(f"{share:7.1f}" for share in shares), *notes, sep="   ")
            rows.append(row_of(label, name, shares, len(cases)))
    return rows


def row_of(context: str, method: str, shares: Sequence[float], questions: int) -> dict[str, object]:
    """One method on one kind of context, at both ratios."""
    kept = {
        f"kept_percent_{round(1 / ratio)}x": round(share, 1)
        for ratio, share in zip(RATIOS, shares, strict=True)
    }
    return {"context": context, "method": method, "questions": questions, **kept}


def bench_meetings(count: Count, limit: int) -> Rows:
    """Mean share of the marked sentences kept, by their tokens."""
    rows: Rows = []
    cases = list(meeting_cases(limit))
    print(f"\nQMSum: marked sentences kept, %    2x     3x    ({len(cases)} questions)")
    for name, shorten in methods(count).items():
        shares = [
            100 * statistics.mean(kept_share(case.needed, shorten(case, ratio), count) for case in cases)
            for ratio in RATIOS
        ]
        print(f"  {name:28}" + "".join(f"{share:7.1f}" for share in shares))
        rows.append(row_of("a meeting", name, shares, len(cases)))
    return rows


def kept_share(needed: Sequence[str], result: str, count: Count) -> float:
    """Tokens of the needed sentences that are in the result / tokens of all of them."""
    tokens = [count(sentence) for sentence in needed]
    kept = sum(n for n, sentence in zip(tokens, needed, strict=True) if sentence in result)
    return kept / (sum(tokens) or 1)


def bench_latency(count: Count) -> Rows:
    """Whole conversations with one long user message, at 2x."""
    measured: Rows = []
    rows = rows_of("xquad_en_dev.jsonl.gz")
    chance = random.Random(SEED)
    gc.freeze()
    print("\n  tokens   p50 ms   p99 ms   tokens/s   ratio min..max (target 0.5)")
    for paragraphs, repeats in ((3, 300), (12, 300), (48, 100), (190, 40)):
        durations_s, tokens, ratios = [], [], []
        for _ in range(repeats):
            chosen = [chance.choice(rows) for _ in range(paragraphs)]
            question = chance.choice(chosen[0]["qas"])["question"]
            text = "\n\n".join([*(row["context"] for row in chosen), question])
            start_s = time.thread_time()
            outcome = compress_conversation(
                [Message("user", (Part(text),))],
                Policy(ratio=0.5, rag_ratio=0.5, min_tokens=0),
                EXTRACTIVE,
                count,
            )
            durations_s.append(time.thread_time() - start_s)
            tokens.append(outcome.tokens_before)
            ratios.append(outcome.tokens_after / outcome.tokens_before)
        durations_s.sort()
        p50_s, p99_s = durations_s[repeats // 2], durations_s[int(repeats * 0.99)]
        print(
            f"{statistics.mean(tokens):8.0f} {1e3 * p50_s:8.1f} {1e3 * p99_s:8.1f}"
            f" {statistics.mean(tokens) / p50_s:10.0f}   {min(ratios):.3f}..{max(ratios):.3f}"
        )
        measured.append(
            {
                "tokens": round(statistics.mean(tokens)),
                "repeats": repeats,
                "p50_ms": round(1e3 * p50_s, 2),
                "p99_ms": round(1e3 * p99_s, 2),
                "tokens_per_s": round(statistics.mean(tokens) / p50_s),
                "ratio_min": round(min(ratios), 3),
                "ratio_max": round(max(ratios), 3),
            }
        )
    return measured


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=200, help="questions per table row")
    parser.add_argument("--only", choices=("answers", "meetings", "latency"))
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args()
    count = Tokenizers().count(O200K)
    count("loaded now, not in the first measurement")
    result: dict[str, object] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    }
    if options.only in (None, "latency"):
        result["latency_at_2x_cpu_time_one_core"] = bench_latency(count)
    if options.only in (None, "answers"):
        result["xquad_answers"] = bench_answers(count, options.questions)
    if options.only in (None, "meetings"):
        result["qmsum_marked_sentences"] = bench_meetings(count, options.questions)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
