"""What a user wrote himself and what is context: retrieved documents, pasted texts, tool output.

A user's own words (the question, the instruction) are never touched. They are found as what stands
outside of context tags or labels, else as the question at the end or the start of a long text.
Invariants: pure, linear; the decision for a text depends on that text alone.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from meshgate_compression.sentences import sentence_cuts
from meshgate_compression.words import terms

Range = tuple[int, int]

QUESTION_CHARS_MAX = 400  # A longer paragraph that ends in a question has context in front of it.
INSTRUCTION_CHARS_MAX = 800  # A longer paragraph is text, whatever its first word.
ASKED_CONTEXT_CHARS_MIN = 600  # Untagged text with a question: this much of it is taken as context.
LABELLED_CHARS_MIN = 200  # Less under labels is not worth the name of context.
FAREWELL_CHARS_MAX = 100  # "Thank you!", "Answer:" after the question.
ASKED_CHARS_MAX = 2_000  # Of the own words of a turn, the last ones count.
BARE_CONTEXT_CHARS_MIN = 1_500  # The same without any question.

_TAGS = (
    "context|contexts|document|documents|doc|docs|passage|passages|source|sources|text|article|"
    "articles|transcript|search_results|search_result|results|result|retrieved|retrieval|excerpt|"
    "excerpts|knowledge|knowledge_base|background|reference|references|chunk|chunks|file|content"
)
_TAG = re.compile(rf"<(/?)({_TAGS})\b[^<>\n]{{0,200}}>", re.IGNORECASE)
_LABEL = re.compile(
    r"^[ \t#*_]*(?:(?P<context>(?:retrieved |relevant |supporting |background |search |reference )?"
    r"(?:contexts?|documents?|passages?|sources?|excerpts?|search results|background|articles?|"
    r"transcript|text|information|kontext|dokumente?|contexte|contexto|contesto|контекст|上下文|"
    r"文档|背景|文脈|資料))"
    r"|(?P<own>questions?|query|user question|user query|task|instructions?|answer|request|prompt|"
    r"frage|aufgabe|antwort|réponse|pregunta|respuesta|domanda|risposta|pergunta|вопрос|ответ|"
    r"问题|問題|质问|質問|回答))[ \t*_]*[:：][*_]*",
    re.IGNORECASE | re.MULTILINE,
)
_QUESTION_MARKS = "?？؟\u037e"
_IMPERATIVE = re.compile(
    r"\W*(?:please\b|kindly\b|summari[sz]e|explain|describe|list\b|find\b|extract|identify|compare|"
    r"analy[sz]e|translate|rewrite|answer\b|using\b|based on|given\b|according to|tell me|write\b|"
    r"bitte\b|fasse|erkläre|nenne|résume|explique|liste|resume|resuma|riassumi|spiega|"
    r"кратко|объясни|请|請|总结|要約|説明|以下)",
    re.IGNORECASE,
)
_UNMARKED_QUESTION = re.compile(
    r"(?:who|whom|whose|what|when|where|why|which|how|is|are|was|were|does|do|did|can)\b"
    r"[^\n.!;:]{3,200}$",
    re.IGNORECASE,
)
_DIRECTIVE = re.compile(
    r"\b(?:must|never|always|do not|don't|please|make sure|ensure|important|required?|should|"
    r"muss|müssen|niemals|immer|bitte|jamais|toujours|doit|nunca|siempre|debe|nunca|sempre|deve|"
    r"нельзя|всегда|должен)\b|必须|不要|请|禁止|してください",
    re.IGNORECASE,
)
_PARAGRAPH_GAP = re.compile(r"\n[ \t]*\n\s*")
_LINE_GAP = re.compile(r"\n\s*")
# Words of a task that say nothing about the answer.
_TASK_TERMS = frozenset(
    terms(
        "summarize summarise summary translate translation following text document documents context"
        " answer question passage article above below provide please tell explain write list find"
        " describe give based using use information content given extract identify know"
    )
)


def _cuts_at(gap: re.Pattern[str]) -> Callable[[str], Iterator[int]]:
    return lambda text: (match.end() for match in gap.finditer(text))


_CUTS = (_cuts_at(_PARAGRAPH_GAP), _cuts_at(_LINE_GAP), sentence_cuts)


@dataclass(frozen=True, slots=True)
class Division:
    """A text divided. `own`: ranges of the user's own words, in order, trimmed.

    `context`: whether the rest is context at all; `retrieved`: whether it is marked as such.
    """

    own: tuple[Range, ...]
    context: bool
    retrieved: bool = False

    def own_words(self, text: str) -> str:
        """The user's own words in the text."""
        return " ".join(text[start:end] for start, end in self.own)


def asked_of(own_words: Sequence[str]) -> str:
    """The users' own words when they ask for something particular, else ""."""
    words = " ".join(own_words)[-ASKED_CHARS_MAX:]
    return words if set(terms(words)) - _TASK_TERMS else ""


def divide(texts: Sequence[str], declared: bool | None) -> list[Division]:
    """Divides the user's texts of one turn, in order.

    `declared`: the user said that the texts are retrieved context (True) or that they are not.
    """
    divisions = [_divide(text, declared) for text in texts]
    if declared is False or not any(_is_question(text) for text in texts):
        return divisions
    others = [text for text in texts if not _is_question(text)]
    if sum(map(len, others)) < ASKED_CONTEXT_CHARS_MIN:
        return divisions
    return [
        Division((), context=True, retrieved=True)
        if not division.retrieved and not _is_question(text) and len(text) >= LABELLED_CHARS_MIN
        else division
        for text, division in zip(texts, divisions, strict=True)
    ]


def divide_system(text: str) -> Division:
    """Divides a system prompt: what stands outside of marked context is an instruction."""
    marked = _tagged(text) or _labelled(text)
    if marked:
        return Division(_outside(text, marked), context=True, retrieved=True)
    return Division(instructions(text), context=True)


def _divide(text: str, declared: bool | None) -> Division:
    whole = tuple(_pieces(text, [0, len(text)]))
    if declared is False:
        return Division(whole, context=False)
    marked = _tagged(text) or _labelled(text)
    if marked:
        return Division(_outside(text, marked), context=True, retrieved=True)
    own = _question_at_an_end(text)
    rest = len(text) - sum(end - start for start, end in own)
    if own and rest >= ASKED_CONTEXT_CHARS_MIN:
        return Division(tuple(own), context=True, retrieved=True)
    if declared and rest >= LABELLED_CHARS_MIN:
        return Division(tuple(own), context=True, retrieved=True)
    if len(text) >= BARE_CONTEXT_CHARS_MIN:
        return Division(instructions(text), context=True)
    return Division(whole, context=False)


def _pieces(text: str, cuts: Sequence[int]) -> list[Range]:
    """The ranges between neighbouring cuts, trimmed of white space; empty ones left out."""
    pieces: list[Range] = []
    for start, end in pairwise(cuts):
        body = text[start:end]
        if stripped := body.strip():
            first = start + body.index(stripped[0])
            pieces.append((first, first + len(stripped)))
    return pieces


def _outside(text: str, ranges: Sequence[Range]) -> tuple[Range, ...]:
    """What the ranges leave over."""
    cuts = [0, *(cut for pair in ranges for cut in pair), len(text)]
    return tuple(
        piece
        for start, end in zip(cuts[::2], cuts[1::2], strict=True)
        for piece in _pieces(text, [start, end])
    )


def _tagged(text: str) -> list[Range]:
    """Outermost pairs of context tags, the tags included."""
    ranges: list[Range] = []
    depth = 0
    start = 0
    for tag in _TAG.finditer(text):
        if not tag[1]:
            if depth == 0:
                start = tag.start()
            depth += not tag[0].endswith("/>")
        elif depth:
            depth -= 1
            if depth == 0:
                ranges.append((start, tag.end()))
    return ranges


def _labelled(text: str) -> list[Range]:
    """What stands under labels such as "Context:", and what is long and stands under none."""
    labels = list(_LABEL.finditer(text))
    if not labels:
        return []
    ranges: list[Range] = []
    if labels[0].start() > INSTRUCTION_CHARS_MAX:
        ranges.append((0, labels[0].start()))
    for label, end in zip(labels, [*(n.start() for n in labels[1:]), len(text)], strict=True):
        start = label.end()
        if label["own"]:
            gap = _PARAGRAPH_GAP.search(text, start, end)
            if gap is None or end - gap.end() <= INSTRUCTION_CHARS_MAX:
                continue
            start = gap.end()
        if end == len(text):
            trailing = _asking_end(text, start)
            end = trailing[0] if trailing else end
        if text[start:end].strip():
            ranges.append((start, end))
    return ranges if sum(end - start for start, end in ranges) >= LABELLED_CHARS_MIN else []


def _question_at_an_end(text: str) -> list[Range]:
    """The question or instruction that a long text ends or starts with, or both."""
    found = [_asking_start(text), _asking_end(text, 0)]
    own = [piece for piece in found if piece is not None]
    return own[:1] if len(own) == 2 and own[0][1] > own[1][0] else own


def _asking_end(text: str, start: int) -> Range | None:
    """The last paragraph, line or sentence, when it asks; a short farewell may follow it."""
    for cuts_of in _CUTS:
        cuts = [start, *(cut for cut in cuts_of(text) if cut > start), len(text)]
        last = _pieces(text, cuts[-4:])[-2:]
        for index in reversed(range(len(last))):
            first, end = last[index][0], last[-1][1]
            if _is_question(text[first : last[index][1]]):
                return first, end
            if end - first > FAREWELL_CHARS_MAX:
                break
    return None


def _asking_start(text: str) -> Range | None:
    """The first paragraph, line or sentence, when it asks."""
    for cuts_of in _CUTS:
        for start, end in _pieces(text, [0, next(cuts_of(text), len(text))]):
            if _is_question(text[start:end]):
                return start, end
    return None


def _is_question(piece: str) -> bool:
    """Whether a piece of text is a question, by its last words, or an instruction, by its first."""
    piece = piece.strip()
    if len(piece) > INSTRUCTION_CHARS_MAX:
        return False
    asks = piece.rstrip(" \t\n\"'”’»)]*_").endswith(tuple(_QUESTION_MARKS))
    return (
        (asks and len(piece) <= QUESTION_CHARS_MAX)
        or _IMPERATIVE.match(piece) is not None
        or _UNMARKED_QUESTION.match(piece) is not None
    )


def instructions(text: str) -> tuple[Range, ...]:
    """The first and the last sentence, and every one that sounds like an order."""
    sentences = _pieces(text, [0, *sentence_cuts(text), len(text)])
    return tuple(
        (start, end)
        for index, (start, end) in enumerate(sentences)
        if index in (0, len(sentences) - 1) or _DIRECTIVE.search(text, start, end)
    )
