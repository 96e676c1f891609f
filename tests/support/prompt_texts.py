# ruff: noqa: RUF001 - punctuation of other scripts is the material here
"""Hypothesis strategies for prompts: prose in several languages around what must not be touched."""

from hypothesis import strategies as st

from meshgate_compression.messages import Message, Part

PROSE = (
    "The committee met in the old town hall and talked for hours about the budget. ",
    "Nobody had expected that the harbour would freeze so early in the year. ",
    "Ada Lovelace wrote to Charles Babbage, who answered from London within a week. ",
    "Dr. Meyer, e.g., did not agree; Prof. J. R. Smith did. ",
    "It rained. ",
    "Das Haus am Fluss wurde verkauft, weil niemand mehr darin wohnen wollte. ",
    "Le conseil a décidé de reporter la réunion à la semaine prochaine. ",
    "Совет решил отложить заседание до следующей недели. ",
    "委员会在旧市政厅开会。他们谈了几个小时。",
    "港は今年、早く凍った。誰も予想していなかった！",
    "وصل القطار متأخرا. هل كان ذلك متوقعا؟ ",
)
PROTECTED = (
    "The value rose by 12.5% to $3,400.50 in 2019. ",
    'She said "never again" and left. ',
    "„Nie wieder“, sagte er, «jamais» sagte sie. ",
    "See https://example.com/a/b?c=d#e or mail ops@example.org today. ",
    "Call `render(text)` with care. ",
    "\n```python\ndef f(x):\n    return x + 1\n\nprint(f(2))\n```\n",
    '\n{"name": "Ada", "tags": ["a", "b"], "n": 3}\n',
    "\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "\n\n",
    "\n- first item, with a comma\n- second item\n",
    '<document index="1">\n',
    "</document>\n",
    "Context:\n",
    "\n\nQuestion: who wrote to Babbage?\n",
    "What happened to the harbour? ",
    "2015年に３回、5つの",
)
texts = st.lists(
    st.one_of(
        st.sampled_from(PROSE),
        st.sampled_from(PROSE),
        st.sampled_from(PROTECTED),
        st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=20),
    ),
    max_size=60,
).map("".join)
long_texts = st.lists(
    st.one_of(st.sampled_from(PROSE), st.sampled_from(PROSE), st.sampled_from(PROTECTED)),
    min_size=10,
    max_size=80,
).map("".join)
ratios = st.sampled_from((0.05, 0.2, 0.33, 0.5, 0.8, 1.0))
questions = st.sampled_from(("", "Who wrote to Charles Babbage?", "港は?", "What is the value in 2019?"))


def _message(roles: tuple[str, ...]) -> st.SearchStrategy[Message]:
    part = st.builds(Part, st.one_of(texts, long_texts, st.none()), st.just(False))
    return st.builds(Message, st.sampled_from(roles), st.lists(part, min_size=1, max_size=3).map(tuple))


openings = st.lists(_message(("system", "developer", "user")), max_size=2)
turns = st.tuples(
    st.lists(_message(("user", "tool", "user")), min_size=1, max_size=3),
    _message(("assistant",)),
)
