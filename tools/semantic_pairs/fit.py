"""What the score was fitted on, together with the pairs of tests/unit/cache/semantic/pairs.py."""

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from tests.unit.cache.semantic import pairs as unit_pairs
from tools.semantic_pairs.generate import Pair, alike, crossed, paired, swapped, turned

SWAPS: Final = {
    "attribute": (
        ("What is the {} of Iceland?", ("language", "climate", "flag", "GDP", "president", "history")),
        ("How do I {} my phone?", ("charge", "unlock", "sell", "clean", "insure", "back up")),
        ("How do I {} a spreadsheet?", ("print", "protect", "split", "format", "share")),
        ("What are the {} of vitamin D?", ("sources", "benefits", "symptoms", "doses", "types")),
        ("What is the {} policy?", ("privacy", "cancellation", "refund", "vacation", "password")),
        ("How do I {} a meeting?", ("schedule", "cancel", "join", "record", "leave")),
        ("Why is my {} red?", ("eye", "screen", "urine", "router light", "face")),
        ("How do I fix a {} error?", ("login", "timeout", "syntax", "payment", "printer")),
        ("What {} should I read?", ("books", "papers", "blogs", "newspapers")),
        ("How can I {} Python?", ("learn", "install", "update", "uninstall", "embed")),
        ("Is {} bad for you?", ("sugar", "salt", "caffeine", "sleep", "sunlight")),
        ("How does a {} work?", ("transformer", "microwave", "heat pump", "blockchain", "vaccine")),
        ("What is the best {} for beginners?", ("camera", "guitar", "language", "yoga class", "bicycle")),
        ("Where can I {} a bike?", ("rent", "buy", "park", "repair")),
        ("How do I {} the firewall?", ("configure", "disable", "test", "bypass")),
        ("What did {} discover?", ("Curie", "Newton", "Fleming", "Darwin")),
        ("How do I become a better {}?", ("writer", "leader", "swimmer", "listener", "parent")),
        ("Who owns the {}?", ("copyright", "land", "building", "patent")),
        ("What is the {} number?", ("phone", "account", "invoice", "atomic", "fax")),
        ("How do I apply for a {}?", ("passport", "loan", "job", "scholarship", "permit")),
    ),
    "name": (
        ("what is the salary of {}", ("tom", "irene", "kurt", "wanda")),
        ("Where was {} born?", ("Mozart", "Chopin", "Vivaldi", "Ravel")),
        ("how do i season {}", ("salmon", "tofu", "pork", "broccoli")),
        ("Is {} compatible with our plan?", ("Zoom", "Slack", "Teams", "Notion")),
        ("What does the word {} mean?", ("ephemeral", "laconic", "ubiquitous", "candid")),
    ),
    "scope": (
        ("Close the {} tickets.", ("open", "old", "urgent", "duplicate")),
        ("List the {} customers.", ("new", "inactive", "best", "unhappy", "Swiss")),
        ("What is the {} price?", ("current", "lowest", "list", "final", "average")),
        ("Which {} flights are late?", ("morning", "domestic", "cheap", "cancelled")),
    ),
}  # fmt: skip

WRITTEN: Final = {
    "added": (
        ("Can I work in Spain?", "Can I work in Spain without a degree?"),
        ("How do I bake bread?", "How do I bake bread without yeast?"),
        ("What is a fair rent?", "What is a fair rent in Boston?"),
        ("How do I remove a user?", "How do I remove a user from a group?"),
        ("Is wine healthy?", "Is wine healthy for diabetics?"),
        ("How do I print a page?", "How do I print a page in black and white?"),
        ("Which laptops are light?", "Which gaming laptops are light?"),
        ("What is the speed limit?", "What is the speed limit for trucks?"),
        ("Who can apply?", "Who can apply online?"),
        ("How do I clean a carpet?", "How do I clean a wool carpet?"),
        ("How do I reset my phone?", "How do I reset my phone remotely?"),
        ("What is the fine for speeding?", "What is the fine for speeding in a school zone?"),
        ("Does insurance cover theft?", "Does insurance cover theft abroad?"),
        ("How do I open an account?", "How do I open a joint account?"),
        ("When is the tax due?", "When is the property tax due?"),
        ("How do I learn to drive?", "How do I learn to drive a truck?"),
    ),
    "replaced": (
        ("How do I talk to my boss?", "How do I talk to my neighbour?"),
        ("Why does my knee hurt?", "Why does my shoulder hurt?"),
        ("How do I write a cover letter?", "How do I write a resignation letter?"),
        ("What is the capital of a company?", "What is the headquarters of a company?"),
        ("How do I get a mortgage?", "How do I pay off a mortgage?"),
        ("Why do cats purr?", "Why do cats hiss?"),
        ("What should I wear to a wedding?", "What should I wear to a funeral?"),
        ("How do I stop snoring?", "How do I stop smoking?"),
        ("Where is the data stored?", "Where is the data backed up?"),
        ("What is the deadline for the report?", "What is the format of the report?"),
    ),
    "small words": (
        ("What is it for?", "Where is it from?"),
        ("How do I log in?", "How do I log out?"),
        ("How do I sign up?", "How do I sign in?"),
        ("What should I do with the key?", "What should I do without the key?"),
        ("Can I pay in instalments?", "Should I pay in instalments?"),
        ("Who works for her?", "Who does she work for?"),
        ("What did he say to her?", "What did she say to him?"),
        ("Is it in the box?", "Is it on the box?"),
        ("How do I get to work?", "How do I get work?"),
        ("How do I look up a word?", "How do I look at a word?"),
        ("What does it do to you?", "What do you do to it?"),
        ("Can I see you?", "Can you see me?"),
        ("What are my rights as a buyer?", "What are my rights against a buyer?"),
        ("What is the use of salt?", "What is the salt of use?"),
        ("What is in the file and the folder?", "What is in the file or the folder?"),
        ("How do I make a copy of a key?", "How do I make a key of a copy?"),
        ("May I leave early?", "Must I leave early?"),
        ("Do I have to tip?", "Should I tip?"),
        ("How much time is left for the test?", "How much time is left of the test?"),
        ("What is under the bridge?", "What is over the bridge?"),
        ("Is it a dog's life?", "Is it the life of a dog?  What about cats?"),
    ),
    "order": (
        ("Is a house cat smaller than a lynx?", "Is a lynx smaller than a house cat?"),
        ("Which bank owns the fund?", "Which fund owns the bank?"),
        ("Do viruses attack bacteria?", "Do bacteria attack viruses?"),
        ("How is wine made from water?", "How is water made from wine?"),
        ("Does the teacher grade the class?", "Does the class grade the teacher?"),
        ("How do plants affect the climate?", "How does the climate affect plants?"),
        ("Why do parents envy children?", "Why do children envy parents?"),
        ("What is a test case?", "What is a case test?"),
        ("Does stress cause pain?", "Does pain cause stress?"),
        ("How can a child help a parent?", "How can a parent help a child?"),
        ("How does the API call the client?", "How does the client call the API?"),
        ("Is the cost of living higher than the salary?", "Is the salary higher than the cost of living?"),
        ("What is a guest house?", "What is a house guest?"),
        ("How do I turn text into speech?", "How do I turn speech into text?"),
        ("Can dogs catch it from humans?", "Can humans catch it from dogs?"),
        ("Which mail server has a domain?", "Which domain has a mail server?"),
    ),
    "other language": (
        ("What is the capital of Spain?", "¿Cuál es la capital de España?"),
        ("Where is the station?", "Wo ist der Bahnhof?"),
        ("What time is it?", "Quelle heure est-il ?"),
        ("How do I reset my password?", "Wie setze ich mein Passwort zurück?"),
    ),
}

ORDER: Final = (
    "How do I get from {} to {}?", "Is {} better than {}?", "Does {} report to {}?",
    "Can {} infect {}?", "Why did {} leave {}?", "How do I import {} into {}?",
)  # fmt: skip
THINGS: Final = (("Milan", "Turin"), ("Excel", "Word"), ("Greta", "Hugo"))

FAQ: Final = (
    ("I forgot my password, what can I do?", "What should I do if I forgot my password?",
     "What do I do when I forgot my password?"),
    ("How do I unsubscribe from emails?", "How can I stop receiving emails?",
     "How do I unsubscribe from your emails?"),
    ("Where can I see my balance?", "How do I check my balance?", "How can I see my balance?",
     "Where do I find my balance?"),
    ("How do I add a team member?", "How can I add someone to my team?", "How do I invite a team member?",
     "How can I add a member to my team?"),
    ("Which browsers do you support?", "What browsers are supported?", "Which browsers are supported?",
     "What browsers do you support?"),
    ("How much does it cost?", "What does it cost?", "What is the price?", "How much is it?"),
    ("Is my data safe?", "Is my data secure?", "How safe is my data?", "Is my data secure with you?"),
    ("What is photosynthesis?", "Explain photosynthesis to me.", "What does photosynthesis mean?",
     "photosynthesis definition"),
    ("Who painted the Mona Lisa?", "Who was the painter of the Mona Lisa?",
     "The Mona Lisa was painted by whom?", "Which artist painted the Mona Lisa?"),
    ("How do I tie a tie?", "How can I tie a tie?", "What are the steps to tie a tie?",
     "How do you tie a tie?"),
    ("What is the population of Iceland?", "How many people live in Iceland?", "What's Iceland's population?",
     "How big is the population of Iceland?"),
    ("Why do leaves change colour?", "Why do leaves change their colour?", "What makes leaves change colour?",
     "What is the reason that leaves change colour?"),
    ("How do I create a backup?", "How can I make a backup?", "How do I make a backup?",
     "What is the way to create a backup?"),
    ("Do you offer a student discount?", "Is there a student discount?", "Do students get a discount?",
     "Are there discounts for students?"),
    ("How do I mute notifications?", "How can I mute notifications?", "How do I silence notifications?",
     "How do I turn off notifications?"),
    ("How do I return an item?", "How can I return an item?", "What is the process for returning an item?",
     "How do I send an item back?"),
    ("What are the symptoms of flu?", "What are flu symptoms?", "Which symptoms does flu have?",
     "What symptoms does the flu have?"),
    ("How do I sort a list in Python?", "How can I sort a list in Python?", "Sort a list in Python",
     "What is the way to sort a Python list?"),
    ("When does the train leave?", "What time does the train leave?", "At what time does the train depart?",
     "When is the train leaving?"),
    ("How do I apply for leave?", "How can I request leave?", "How do I request leave?",
     "What is the process to apply for leave?"),
    ("What is the distance between Rome and Milan?", "How far is it from Rome to Milan?",
     "How far is Milan from Rome?", "What is the distance from Rome to Milan?"),
    ("Who is the CEO of the company?", "Who is the company's CEO?", "Which person is the CEO of the company?",
     "What is the name of the company's CEO?"),
    ("Can I change my booking?", "Is it possible to change my booking?", "May I change my booking?",
     "Am I allowed to change my booking?"),
    ("How do I take a screenshot?", "How can I take a screenshot?",
     "What is the shortcut to take a screenshot?", "How to make a screenshot"),
    ("Is breakfast included?", "Is breakfast included in the price?", "Does the price include breakfast?",
     "Do I have to pay extra for breakfast?"),
    ("How do I improve my credit score?", "How can I raise my credit score?",
     "What can I do to improve my credit score?", "What are ways to improve my credit score?"),
    ("Where are you located?", "Where is your office?", "What is your address?",
     "Where is your office located?"),
    ("How do I install the app?", "How can I install the app?", "How do I get the app installed?",
     "What are the steps to install the app?"),
    ("Is there parking nearby?", "Is parking available nearby?", "Is there any parking near you?",
     "Are there parking spaces nearby?"),
    ("What is an API?", "What does API mean?", "What does API stand for?", "Explain what an API is."),
)  # fmt: skip


# Each group is one question in several wordings about a {}: with the same filler they are the same.
SLOTTED: Final = (
    (("How do I improve my {}?", "What can I do to get better at {}?",
      "What are the best ways to improve {} skills?"), ("chess", "handwriting", "negotiation", "spelling")),
    (("What is the best way to learn {}?", "How should a beginner start with {}?",
      "Which resources are good for learning {}?"), ("calculus", "pottery", "accounting", "archery")),
    (("What are some good {} for a small garden?", "Which {} do well in a small garden?",
      "I have a small garden, what {} should I plant?"), ("roses", "herbs", "trees", "berries")),
    (("Why does my {} make a strange noise?", "What causes a strange noise in my {}?",
      "My {} is making a strange noise, why?"), ("fridge", "engine", "laptop fan", "washing machine")),
    (("How much does {} insurance cost?", "What is the average price of {} insurance?",
      "Is {} insurance expensive?"), ("travel", "pet", "dental", "flood")),
    (("Is it hard to become a {}?", "How difficult is it to become a {}?",
      "What does it take to become a {}?"), ("surgeon", "translator", "carpenter", "judge")),
    (("What are the benefits of {} every day?", "Why is {} every day good for you?",
      "How does {} every day help the body?"), ("walking", "meditating", "fasting", "stretching")),
    (("What is the future of {}?", "Where is {} heading?", "How will {} develop in the next years?"),
     ("journalism", "robotics", "nuclear power", "banking")),
    (("How do I remove {} stains from a shirt?", "What gets {} stains out of a shirt?",
      "How can I get rid of {} stains on my shirt?"), ("ink", "grass", "blood", "oil")),
    (("Which company makes the best {}?", "What is the best brand of {}?", "Who produces the best {}?"),
     ("headphones", "mattresses", "knives", "running shoes")),
    (("What does a {} earn?", "How much does a {} make?", "What is the salary of a {}?"),
     ("dentist", "pilot", "chef", "data analyst")),
    (("Can {} be cured?", "Is there a cure for {}?", "Is it possible to cure {}?"),
     ("asthma", "arthritis", "baldness", "stuttering")),
    (("What is the meaning of {} in economics?", "What do economists mean by {}?",
      "How do economists define {}?"), ("utility", "elasticity", "arbitrage", "stagflation")),
    (("Where can I watch {} online?", "What website lets me watch {}?",
      "Is there a site where I can watch {} online?"), ("opera", "documentaries", "rugby", "anime")),
    (("How do I stop my {} from freezing?", "What prevents a {} from freezing?",
      "My {} keeps freezing, what can I do?"), ("pipes", "pond", "browser", "tablet")),
    (("Do I need a licence to {}?", "Is a licence required to {}?", "Can I {} without a licence?"),
     ("fish", "fly a drone", "sell honey", "hunt deer")),
    (("What should I know before moving to {}?", "Is there anything to consider before moving to {}?",
      "I am moving to {}, what should I know?"), ("Berlin", "a farm", "Alaska", "the suburbs")),
    (("What are good topics for a {}?", "Can you suggest topics for a {}?", "I need ideas for a {}."),
     ("thesis", "podcast", "wedding speech", "school play")),
)  # fmt: skip
QUALIFIERS: Final = (
    "at home",
    "online",
    "in winter",
    "for children",
    "on a budget",
    "after an injury",
    "as a student",
)


def slotted() -> Iterator[Pair]:
    """Other words for the same thing are the same; other words for another thing, or for more, are not."""
    for at, (templates, fillers) in enumerate(SLOTTED):
        for first, second in combinations(templates, 2):
            for here in fillers:
                yield Pair(first.format(here), second.format(here), True, "paraphrase")
                for there in fillers:
                    if here != there:
                        yield Pair(first.format(here), second.format(there), False, "reworded")
            more = second.format(fillers[0]).rstrip("?.") + f" {QUALIFIERS[at % len(QUALIFIERS)]}?"
            yield Pair(first.format(fillers[0]), more, False, "reworded and added")


def traps() -> Iterator[Pair]:
    """Questions that look alike and need different answers."""
    yield from swapped(SWAPS)
    yield from paired(WRITTEN)
    yield from turned(ORDER, THINGS)
    yield from crossed(FAQ)
    yield from (pair for pair in slotted() if not pair.same)
    for kind, pairs in unit_pairs.traps().items():
        yield from (Pair(first, second, False, kind) for first, second in pairs)


def paraphrases() -> Iterator[Pair]:
    """Questions of the FAQ kind that deserve the same answer."""
    yield from alike(FAQ)
    yield from (pair for pair in slotted() if pair.same)
    yield from (Pair(first, second, True, "paraphrase") for first, second in unit_pairs.paraphrases())
