"""Pairs of questions made from templates: traps that look alike and differ, and paraphrases that do not.

Everything here is written for this project, so thresholds fitted on it may ship.
"""

from collections.abc import Iterator
from itertools import combinations, permutations, product

Pair = tuple[str, str]

PEOPLE = ("Alice", "Robert", "Maria", "Chen")
TOPICS = ("inflation", "osmosis", "annual", "recursion", "entropy")
PLACES = ("France", "Germany", "Kenya", "Peru", "Bhutan")
CITIES = ("Paris", "Lisbon", "Osaka", "Quito")


def _swapped(number: int) -> int:
    """The same digits with the last two exchanged."""
    digits = list(str(number))
    digits[-1], digits[-2] = digits[-2], digits[-1]
    return int("".join(digits))


def _replaced(template: str, first: str, second: str) -> Pair:
    return template.format(first), template.format(second)


def _numbers() -> Iterator[Pair]:
    for number, template in product(
        (48_213, 1_024, 73, 50_219, 912, 2_016, 667_421, 38),
        (
            "Where is order {}?",
            "What does error {} mean?",
            "How do I cancel booking {}?",
            "Is {} a prime number?",
            "What happened in the year {}?",
            "Convert {} miles to kilometres.",
            "How many days are {} hours?",
            "Summarise section {} of the contract.",
        ),
    ):
        yield _replaced(template, str(number), str(_swapped(number)))
        yield _replaced(template, str(number), str(number * 10))
    yield from (
        ("Give me two examples of irony.", "Give me three examples of irony."),
        ("What is 15% of 80?", "What is 50% of 80?"),
        ("What is the third planet?", "What is the fourth planet?"),
        ("How much is 2.5 kg in pounds?", "How much is 25 kg in pounds?"),
        ("Is version 3.11.2 supported?", "Is version 3.12.1 supported?"),
        ("What is twenty five times four?", "What is twenty six times four?"),
        ("What is 12 minus 7?", "What is 7 minus 12?"),
        ("Round 3.14159 to two places.", "Round 3.14159 to four places."),
        ("Who won the 1st race?", "Who won the 2nd race?"),
        ("Explain RFC 2616.", "Explain RFC 2606."),
        ("Does the A320 have winglets?", "Does the A330 have winglets?"),
        ("Is COVID-19 seasonal?", "Is COVID seasonal?"),
    )


def _names() -> Iterator[Pair]:
    for first, second in combinations(PEOPLE, 2):
        for template in (
            "What is the email address of {}?",
            "When does {} start working here?",
            "Did {} approve the invoice?",
            "Write a birthday card for {}.",
        ):
            yield _replaced(template, first, second)
    for first, second in combinations(PLACES, 2):
        for template in (
            "What is the capital of {}?",
            "what is the population of {}",
            "Do I need a visa for {}?",
            "Who is the president of {}?",
        ):
            yield _replaced(template, first, second)
    for first, second in combinations(CITIES, 2):
        for template in ("What is the weather in {}?", "How do I get to {} by train?"):
            yield _replaced(template, first, second)
    yield "What is the capital of France?", "What is the population of Paris?"
    yield "How do I install Docker?", "How do I install Kubernetes?"


def _negation() -> Iterator[Pair]:
    for subject, act in product(
        ("dogs", "babies", "I", "tourists", "diabetics"),
        ("eat chocolate", "drink coffee", "sleep on the floor", "use this form", "enter the building"),
    ):
        yield f"Why should {subject} {act}?", f"Why should {subject} not {act}?"
        yield f"Can {subject} {act}?", f"Can't {subject} {act}?"
    for thing in ("sugar", "salt", "a permit", "an account", "JavaScript"):
        yield f"How do I do this with {thing}?", f"How do I do this without {thing}?"
    yield "Which foods contain gluten?", "Which foods do not contain gluten?"
    yield "Is it legal to park here?", "Is it illegal to park here?"
    yield "Which of these are vertebrates?", "Which of these are invertebrates?"


OPPOSITES = (
    ("enable", "disable"), ("increase", "decrease"), ("open", "close"), ("lock", "unlock"),
    ("install", "uninstall"), ("encrypt", "decrypt"), ("import", "export"), ("compress", "decompress"),
    ("accept", "decline"), ("connect", "disconnect"), ("raise", "lower"), ("upload", "download"),
)  # fmt: skip


def _opposites() -> Iterator[Pair]:
    for first, second in OPPOSITES:
        for template in ("How do I {} it?", "Why did it {} by itself?", "What happens when I {} the file?"):
            yield _replaced(template, first, second)
    for first, second in (
        ("highest", "lowest"), ("longest", "shortest"), ("best", "worst"), ("oldest", "newest"),
        ("largest", "smallest"), ("cheapest", "most expensive"),
    ):  # fmt: skip
        for template in ("What is the {} bridge in the country?", "Show me the {} laptop you sell."):
            yield _replaced(template, first, second)
    yield "What are the advantages of remote work?", "What are the disadvantages of remote work?"
    yield "What should I do before surgery?", "What should I do after surgery?"
    yield "Who was the first person on the summit?", "Who was the last person on the summit?"


def _units() -> Iterator[Pair]:
    groups = (
        ("miles", "kilometres", "yards"),
        ("kilograms", "pounds", "ounces"),
        ("litres", "gallons", "cups"),
        ("seconds", "minutes", "hours"),
        ("dollars", "euros", "rupees"),
    )
    for group in groups:
        for first, second in combinations(group, 2):
            for template in ("What is 5 {} worth to you?", "Give the answer in {}.", "Is 40 {} a lot?"):
                yield _replaced(template, first, second)
    yield "What is water's boiling point in Celsius?", "What is water's boiling point in Fahrenheit?"
    yield "How many MB are left?", "How many GB are left?"
    yield "How much does it cost per day?", "How much does it cost per month?"


def _order() -> Iterator[Pair]:
    for first, second in combinations(PEOPLE, 2):
        for template in (
            "Does {} owe {} money?",
            "Is {} older than {}?",
            "Did {} write to {} last?",
            "Why did {} sue {}?",
        ):
            yield template.format(first, second), template.format(second, first)
    for first, second in combinations(CITIES, 2):
        for template in ("Find a flight from {} to {}.", "How long is the drive from {} to {}?"):
            yield template.format(first, second), template.format(second, first)
    for first, second in permutations(("json", "yaml", "xml"), 2):
        yield f"convert {first} to {second}", f"convert {second} to {first}"
    yield "Do cats chase dogs?", "Do dogs chase cats?"
    yield "Is a mile longer than a knot?", "Is a knot longer than a mile?"
    yield "How do I turn a list into a tuple?", "How do I turn a tuple into a list?"


def _small_words() -> Iterator[Pair]:
    yield "What is my name?", "What is your name?"
    yield "Who is he?", "Who is she?"
    yield "Where are they?", "Where is he?"
    yield "Did she sign it?", "Did he sign it?"
    yield "Should I buy gold?", "Can I buy gold?"
    yield "How do I make a cake?", "How do I get a cake?"
    yield "Does it run on Linux and Windows?", "Does it run on Linux or Windows?"
    yield "What should I do in an emergency?", "What should I do for an emergency?"
    yield "What is a plane?", "What is a plane doing here?"
    yield "Must I pay tax?", "May I pay tax?"
    yield "How do I get out of a contract?", "How do I get a contract?"
    yield "What does the valve do?", "What is the valve?"
    yield "Where are you?", "Where am I?"
    for city in CITIES:
        yield f"List all flights to {city}.", f"List all flights from {city}."
        yield f"Which books are by people of {city}?", f"Which books are about people of {city}?"


def _dates() -> Iterator[Pair]:
    for group in (
        ("Monday", "Tuesday", "Sunday"), ("January", "March", "October"), ("today", "tomorrow", "yesterday"),
    ):  # fmt: skip
        for first, second in combinations(group, 2):
            for template in ("Is the shop open {}?", "What is on the menu {}?", "List my meetings for {}."):
                yield _replaced(template, first, second)
    yield "What happened on 2024-05-01?", "What happened on 2024-01-05?"
    yield "Is there a train at 10:30?", "Is there a train at 10:50?"
    yield "What is due 3/4?", "What is due 4/3?"


def _tense_and_question() -> Iterator[Pair]:
    for place in PLACES:
        yield f"Who is the president of {place}?", f"Who was the president of {place}?"
        yield f"What is the currency of {place}?", f"What will the currency of {place} be?"
        yield f"When did {place} become independent?", f"How did {place} become independent?"
        yield f"Why do people move to {place}?", f"How do people move to {place}?"
        yield f"Where is the embassy of {place}?", f"What is the embassy of {place}?"
        yield f"How many people live in {place}?", f"Which people live in {place}?"
        yield f"Is {place} expensive?", f"Why is {place} expensive?"
        yield f"How far is {place}?", f"How big is {place}?"


def _scope() -> Iterator[Pair]:
    for thing in ("files", "orders", "users", "invoices", "rows", "tickets"):
        yield f"Delete the {thing}.", f"Delete only the new {thing}."
        yield f"List all {thing} from this week.", f"List all {thing} except those from this week."
        yield f"Which {thing} have at least 5 errors?", f"Which {thing} have at most 5 errors?"
        yield f"Show {thing} with more than 10 views.", f"Show {thing} with less than 10 views."
        yield f"Show {thing} before the change.", f"Show {thing} after the change."
        yield f"Count the {thing}.", f"Count the deleted {thing}."


def _languages() -> Iterator[Pair]:
    for first, second in combinations(("Spanish", "French", "German", "Japanese"), 2):
        for template in ("Translate this into {}.", "How do you say hello in {}?", "Is {} hard to learn?"):
            yield _replaced(template, first, second)
    for first, second in combinations(("python", "java", "rust", "c++"), 2):
        for template in ("How do I sort a list in {}?", "Write a web server in {}."):
            yield _replaced(template, first, second)
    yield "What is the capital of France?", "Quelle est la capitale de la France ?"


def _quoted_and_code() -> Iterator[Pair]:
    for first, second in (("their", "there"), ("to be", "not to be"), ("affect", "effect"), ("a", "an")):
        yield f'When do I write "{first}"?', f'When do I write "{second}"?'
        yield f"Translate '{first}' for me.", f"Translate '{second}' for me."
    for first, second in (
        ("x = 1", "x = 2"), ("a and b", "a or b"), ("i++", "++i"), ("rm -r x", "rm -rf x"), ("< 5", "<= 5"),
    ):  # fmt: skip
        yield f"What does `{first}` do?", f"What does `{second}` do?"
        yield f"Explain:\n```\n{first}\n```", f"Explain:\n```\n{second}\n```"
    yield "What does os.path.join do?", "What does os.path.split do?"
    yield "What does getUserById() return?", "What does getUserByName() return?"
    yield "What is # in a recipe?", "What is ## in a recipe?"
    yield "What is () for?", "What is (,) for?"
    yield "What does 😀 stand for?", "What does 😢 stand for?"
    yield "How can I start learning?", "How can I start e-learning?"
    yield "What is in /etc/hosts?", "What is in /etc/passwd?"
    yield "Is https://a.example up?", "Is https://b.example up?"
    yield "Who owns a@example.org?", "Who owns b@example.org?"
    yield "What is max_retries?", "What is max_timeout?"


def traps() -> dict[str, list[Pair]]:
    """Pairs that must never share an answer, by the kind of their difference."""
    kinds = {
        "number": _numbers(),
        "name": _names(),
        "negation": _negation(),
        "opposite": _opposites(),
        "unit": _units(),
        "order": _order(),
        "small word": _small_words(),
        "date": _dates(),
        "tense and question": _tense_and_question(),
        "scope": _scope(),
        "language": _languages(),
        "quoted and code": _quoted_and_code(),
    }
    return {kind: list(pairs) for kind, pairs in kinds.items()}


FAQ = (
    ("What is the capital of {p}?", "What is the capital city of {p}?", "what's the capital of {p}"),
    ("How do I reset my password?", "how can I reset my password?", "What is the way to reset my password?"),
    (
        "How can I delete my account?",
        "How do I remove my account?",
        "Please tell me how to delete my account.",
    ),
    ("What does {q} mean?", "What is the meaning of {q}?", "Define {q}."),
    ("Why is the sky blue?", "What is the reason why the sky is blue?", "How come the sky is blue?"),
    ("How do I start the service?", "How can I begin the service?", "How to start the service"),
    ("Can you tell me where the station is?", "Where is the station?", "where is the station located?"),
    ("How many people live in {p}?", "What number of people live in {p}?", "how many people live in {p}"),
    ("Who wrote the {q} report?", "Who is the author of the {q} report?", "who wrote the {q} report"),
    (
        "How do I buy a ticket?",
        "How can I purchase a ticket?",
        "Could you please tell me how to buy tickets?",
    ),
    ("What are the benefits of {q}?", "What are the advantages of {q}?", "Tell me the benefits of {q}."),
    ("How do I change my address?", "How can I modify my address?", "What should I do to change my address?"),
    ("What is the fastest route to {p}?", "Which is the quickest route to {p}?", "fastest route to {p}?"),
    ("Is parking allowed here?", "Are we allowed to park here?", "Am I allowed to park here?"),
    ("How long is the warranty?", "How long does the warranty last?", "What is the warranty period?"),
    ("How do I contact support?", "How can I get in touch with support?", "how do you contact support"),
    ("What time do you open?", "When do you open?", "At what time do you open?"),
    ("How do I fix a flat tire?", "How can I repair a flat tire?", "How should I mend a flat tire?"),
    ("How do I upload a picture?", "How can I upload a photo?", "How to upload images?"),
    ("What is {q}?", "what's {q}?", "Can you explain to me what {q} is?"),
)


def paraphrases() -> list[Pair]:
    """Pairs of the FAQ kind that deserve the same answer."""
    pairs: list[Pair] = []
    for group in FAQ:
        for place, word in zip(PLACES, TOPICS, strict=True):
            filled = sorted({text.format(p=place, q=word) for text in group})
            pairs.extend(combinations(filled, 2))
    return sorted(set(pairs))
