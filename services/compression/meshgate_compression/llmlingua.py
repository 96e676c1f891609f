"""LLMLingua-2: a token classifier from a local path says which words stay. Needs the extra `[llmlingua]`.

The method is the paper's (arXiv 2403.12968): the model gives each token a probability of being kept, a word
has the mean of its tokens, and the best words stay in their order. The package `llmlingua` is not used: its
constructor downloads a vocabulary, lets models run code of their own, and seeds the process's random numbers.
Invariants: nothing is downloaded; nothing is imported before a model is loaded; protected spans, names among
them, stay byte for byte; a text that bears the MARK is left alone.
"""

import importlib
import importlib.util
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meshgate_compression.candidates import Count
from meshgate_compression.extractive import Section
from meshgate_compression.messages import Passage
from meshgate_compression.render import MARK, MARK_TOKENS_MAX
from meshgate_compression.spans import find_spans

LLMLINGUA: Final = "llmlingua"
PACKAGES: Final = ("torch", "transformers")
KEEP_LABEL: Final = 1  # of the classifier; 0 is "drop"
WINDOW_TOKENS_MAX: Final = 512
BATCH_WINDOWS: Final = 8
_WORD: Final = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class _Word:
    """text[start:end]; `firm`: it stays whatever its probability."""

    start: int
    end: int
    firm: bool


def missing_packages() -> list[str]:
    """Those of the extra that are not installed."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


class LlmLingua:
    """A Compressor. Loading takes seconds; one model serves one process, on one thread."""

    def __init__(self, model_path: Path) -> None:
        self._torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
        local = {"local_files_only": True, "trust_remote_code": False}
        self._torch.set_num_threads(1)  # There is a process for each core.
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(str(model_path), **local)
        model = transformers.AutoModelForTokenClassification.from_pretrained(str(model_path), **local)
        self._model = model.eval()

    def __call__(self, passage: Passage, count: Count) -> list[str]:
        """See Compressor. Each text has its own budget; the question is not used: the method has none."""
        return [self._shortened(section, passage.ratio, count) for section in passage.sections]

    def _shortened(self, section: Section, ratio: float, count: Count) -> str:
        text = section.text
        if MARK in text:
            return text
        words = list(_words(section))
        kept = _select(text, words, self._word_scores(text, words), ratio, count)
        result = _joined(text, [word for word, stays in zip(words, kept, strict=True) if stays])
        return result if len(result) < len(text) and count(result) < count(text) else text

    def _word_scores(self, text: str, words: Sequence[_Word]) -> list[float]:
        """The mean probability of each word's tokens to be kept; 0 for a word without tokens."""
        sums, counts = [0.0] * len(words), [0] * len(words)
        current = 0
        for start, end, probability in self._token_scores(text):
            while current < len(words) and words[current].end <= start:
                current += 1
            if current < len(words) and end > words[current].start:
                sums[current] += probability
                counts[current] += 1
        return [total / number if number else 0.0 for total, number in zip(sums, counts, strict=True)]

    def _token_scores(self, text: str) -> Iterator[tuple[int, int, float]]:
        """(start, end, probability) of the text's tokens, in order, window by window."""
        windows = self._tokenizer(
            text,
            truncation=True,
            max_length=WINDOW_TOKENS_MAX,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=True,
            return_tensors="pt",
        )
        offsets = windows["offset_mapping"].tolist()
        for first in range(0, len(offsets), BATCH_WINDOWS):
            chosen = slice(first, first + BATCH_WINDOWS)
            with self._torch.inference_mode():
                logits = self._model(
                    input_ids=windows["input_ids"][chosen], attention_mask=windows["attention_mask"][chosen]
                ).logits
            probabilities = logits.softmax(dim=-1)[:, :, KEEP_LABEL].tolist()
            for places, values in zip(offsets[chosen], probabilities, strict=True):
                for (start, end), value in zip(places, values, strict=True):
                    if end > start:  # Not one of the model's own marks.
                        yield start, end, value


def _words(section: Section) -> Iterator[_Word]:
    """Protected spans as they are, and the words between them, in order."""
    text = section.text
    position = 0
    for span in find_spans(text, section.fixed):
        yield from (_Word(m.start(), m.end(), False) for m in _WORD.finditer(text, position, span.start))
        yield _Word(span.start, span.end, True)
        position = span.end
    yield from (_Word(m.start(), m.end(), False) for m in _WORD.finditer(text, position))


def _select(
    text: str, words: Sequence[_Word], scores: Sequence[float], ratio: float, count: Count
) -> list[bool]:
    """Which words stay: the firm ones, then the best, until the budget of tokens is used up."""
    tokens = [count(f" {text[word.start : word.end]}") for word in words]
    kept = [word.firm for word in words]
    left = ratio * count(text) - MARK_TOKENS_MAX - sum(n for n, k in zip(tokens, kept, strict=True) if k)
    for index in sorted(range(len(words)), key=lambda i: (-scores[i], i)):
        if not kept[index] and tokens[index] <= left:
            kept[index] = True
            left -= tokens[index]
    return kept


def _joined(text: str, words: Sequence[_Word]) -> str:
    """The words with the white space between them; the first gap is marked."""
    parts: list[str] = []
    position = 0
    for word in words:
        gap = text[position : word.start]
        if not gap.strip():
            parts.append(gap)
        else:
            line = "\n" if "\n" in gap else " "
            parts += [line] if MARK in parts else [line, MARK, line]
        parts.append(text[word.start : word.end])
        position = word.end
    rest = text[position:]
    if rest.strip() and MARK not in parts:
        parts += [" ", MARK]
    return "".join(parts)
