"""What the demo model says: a tiny table, a little arithmetic, else the question told back. Pure."""

import re

QUESTION_CHARS_MAX = 4_000  # of a question that is told back

_CAPITALS = {
    "argentina": "Buenos Aires",
    "australia": "Canberra",
    "austria": "Vienna",
    "brazil": "Brasília",
    "canada": "Ottawa",
    "china": "Beijing",
    "egypt": "Cairo",
    "france": "Paris",
    "germany": "Berlin",
    "india": "New Delhi",
    "italy": "Rome",
    "japan": "Tokyo",
    "kenya": "Nairobi",
    "mexico": "Mexico City",
    "norway": "Oslo",
    "poland": "Warsaw",
    "portugal": "Lisbon",
    "spain": "Madrid",
    "sweden": "Stockholm",
    "switzerland": "Bern",
    "turkey": "Ankara",
    "ukraine": "Kyiv",
    "united kingdom": "London",
    "united states": "Washington, D.C.",
}
_CAPITAL = re.compile(r"\bcapital of (?:the )?([a-z ]+)", re.IGNORECASE)
_ARITHMETIC = re.compile(r"(?<![\d.])(-?\d{1,15}) *([-+*x]) *(\d{1,15})(?![\d.])")
_REPEAT = re.compile(
    r"^(?:please )?(?:say|repeat(?: after me)?|reply with|answer with)\b:? *(.+)$", re.I | re.S
)
_GREETING = re.compile(r"^(?:hi|hello|hey|good (?:morning|afternoon|evening))\b", re.IGNORECASE)
_FILLER = "This answer is as long as you asked for and says nothing else. "


def answer(question: str) -> str:
    """One deterministic answer that reflects the question."""
    if match := _CAPITAL.search(question):
        country = match[1].strip().lower()
        if city := _CAPITALS.get(country):
            return (
                f"The capital of {'the ' if country.startswith('united') else ''}{country.title()} is {city}."
            )
    if match := _ARITHMETIC.search(question):
        return f"{match[1]} {match[2]} {match[3]} = {_calculated(int(match[1]), match[2], int(match[3]))}"
    if match := _REPEAT.match(question):
        return match[1].strip().strip("\"'")
    if _GREETING.match(question):
        return (
            "Hello! I am the demo model of meshgate. Ask me for the capital of a country, or anything else."
        )
    if not question:
        return "Hello! You sent no text, so there is nothing to answer."
    return (
        f"You said: {question[:QUESTION_CHARS_MAX]}\n"
        "I am the demo model of meshgate: I tell back what I read, so that you see that it arrived."
    )


def answer_with_results(question: str, results: tuple[str, ...]) -> str:
    """The answer after tools have run."""
    return f"The tool answered: {'; '.join(results)}. That answers your question: {question}"


def filler(length_chars_min: int) -> str:
    """Text of at least this many characters."""
    return _FILLER * (length_chars_min // len(_FILLER) + 1)


def _calculated(left: int, operator: str, right: int) -> int:
    if operator == "+":
        return left + right
    return left - right if operator == "-" else left * right
