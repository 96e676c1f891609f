"""What the cache is measured on. Nothing was tuned on these: do not look here to make a figure better."""

from collections.abc import Iterator
from typing import Final

from tools.semantic_pairs.generate import Pair, alike, crossed, paired, swapped, turned

SWAPS: Final = {
    "number": (
        ("What is the status of ticket {}?", ("90417", "90471", "90714", "9041")),
        ("How do I file form {}?", ("1040", "1099", "1041", "104")),
        ("What does HTTP status {} tell me?", ("401", "403", "404", "500")),
        ("Give me {} ideas for a birthday party.", ("three", "five", "ten", "12")),
        ("What is {}% of 340?", ("12", "21", "1.2", "120")),
        ("Which king reigned in {}?", ("1642", "1624", "1462", "1742")),
        ("How much is a room for {} people?", ("2", "3", "4", "two hundred")),
        ("Can I upgrade from version {}?", ("2.4.1", "2.1.4", "4.2.1", "2.4.11")),
    ),
    "name": (
        ("When is {}'s performance review?", ("Priya", "Oliver", "Fatima", "Jonas")),
        ("How tall is {}?", ("Kilimanjaro", "Denali", "Aconcagua", "the Matterhorn")),
        ("who founded {}", ("sony", "nintendo", "sega", "toshiba")),
        ("What are the side effects of {}?", ("ibuprofen", "metformin", "lisinopril", "warfarin")),
        ("How do I cook {}?", ("quinoa", "couscous", "lentils", "polenta")),
        ("What time does the {} library close?", ("Springfield", "Riverside", "Georgetown", "Fairview")),
        ("Summarise the plot of {}.", ("Hamlet", "Macbeth", "Othello", "King Lear")),
        ("How do I integrate {} with our website?", ("Stripe", "PayPal", "Klarna", "Adyen")),
        ("Is {} a good place to raise children?", ("Denver", "Portland", "Tucson", "Omaha")),
        ("How does {} propagate?", ("malaria", "cholera", "measles", "dengue")),
    ),
    "unit": (
        ("How many {} are in a marathon?", ("kilometres", "miles", "metres", "feet")),
        ("What is my parcel's weight in {}?", ("grams", "ounces", "kilograms", "pounds")),
        ("How many calories do I need per {}?", ("day", "week", "month", "meal")),
        ("Show the revenue in {}.", ("dollars", "euros", "yen", "pounds sterling")),
        ("Is the oven's temperature given in {}?", ("Celsius", "Fahrenheit", "Kelvin")),
        ("What is the limit in {}?", ("MB", "GB", "KB", "TB")),
    ),
    "scope": (
        ("Refund {} items in my basket.", ("all", "some", "only the damaged", "the other")),
        ("List employees hired {} 2019.", ("before", "after", "in", "since")),
        ("Show invoices of {} 100 dollars.", ("more than", "less than", "exactly", "at least")),
        ("Who may edit {} documents?", ("shared", "private", "archived", "public")),
        ("Is {} shipping free?", ("international", "domestic", "express", "standard")),
        ("How do I clear the {} history?", ("search", "purchase", "browser", "chat")),
        ("What is the {} temperature in Oslo?", ("average", "highest", "lowest", "current")),
        ("Which plan suits a {} company?", ("small", "large", "growing", "listed")),
    ),
    "tense": (
        ("Who {} the head of marketing?", ("is", "was", "will be")),
        ("What {} the interest rate?", ("is", "was", "will be")),
        ("When {} the store open on Sunday?", ("does", "did", "will")),
        ("{} the package arrive on time?", ("Did", "Does", "Will")),
    ),
    "language": (
        ("Translate 'good morning' into {}.", ("Portuguese", "Turkish", "Korean", "Swahili")),
        ("How do I read a file in {}?", ("Go", "Ruby", "Kotlin", "Elixir")),
        ("Write the reply in {}.", ("Dutch", "Polish", "Greek", "Hebrew")),
        ("Where can I take {} lessons?", ("Arabic", "Mandarin", "Hindi", "Russian")),
    ),
    "attribute": (
        ("What is the {} of Norway?", ("capital", "population", "currency", "anthem", "area")),
        ("How do I {} my subscription?", ("renew", "cancel", "pause", "upgrade", "share")),
        ("What {} do you accept?", ("cards", "currencies", "documents", "returns")),
        ("How do I {} a branch in git?", ("rename", "merge", "rebase", "protect")),
        ("What are the {} of solar panels?", ("benefits", "costs", "components", "dimensions", "risks")),
        (
            "Where can I find the {} of this device?",
            ("serial number", "manual", "power switch", "warranty card"),
        ),
        ("How do I {} tomatoes?", ("grow", "peel", "freeze", "roast")),
        ("Is it safe to {} a cut?", ("wash", "stitch", "cover", "ignore")),
        ("Why is my {} so slow?", ("laptop", "internet", "metabolism", "dishwasher")),
        ("How do I become a {}?", ("pilot", "nurse", "notary", "plumber")),
    ),
    "date": (
        ("Are you open on {}?", ("Thursday", "Saturday", "New Year's Day", "Monday")),
        ("What were the sales in {}?", ("March", "June", "November", "the third quarter")),
        ("Book a table for {}.", ("tonight", "tomorrow", "Friday evening", "lunch on Friday")),
    ),
    "person": (
        ("Can {} access the admin page?", ("I", "you", "they", "she")),
        ("Where is {} passport kept?", ("my", "your", "his", "their")),
    ),
}

NEGATED: Final = tuple(
    pair
    for act in (
        "park in front of the school", "take aspirin with food", "sign the lease", "water succulents daily",
        "share the recording", "invest in bonds", "wear contact lenses overnight", "update the firmware",
    )
    for pair in (
        (f"Should I {act}?", f"Should I not {act}?"),
        (f"Why should people {act}?", f"Why shouldn't people {act}?"),
        (f"When is it a good idea to {act}?", f"When is it never a good idea to {act}?"),
    )
)  # fmt: skip

WRITTEN: Final = {
    "negation": (
        *NEGATED,
        ("Which foods contain gluten?", "Which foods contain no gluten?"),
        ("Which cities have a metro?", "Which cities lack a metro?"),
        ("Is a visa required for Chile?", "Is a visa not required for Chile?"),
        ("How to travel with a pet", "How to travel without a pet"),
        ("What happens if I pay on time?", "What happens if I don't pay on time?"),
    ),
    "opposite": (
        ("How do I turn on dark mode?", "How do I turn off dark mode?"),
        ("How do I mute a caller?", "How do I unmute a caller?"),
        ("How can I gain muscle?", "How can I lose muscle?"),
        ("What is the maximum speed of a cheetah?", "What is the minimum speed of a cheetah?"),
        ("How do I subscribe to the newsletter?", "How do I unsubscribe from the newsletter?"),
        ("Why did the price go up?", "Why did the price go down?"),
        ("How do I archive a project?", "How do I unarchive a project?"),
        ("How do I follow an author?", "How do I block an author?"),
        ("Who is the tallest player?", "Who is the shortest player?"),
        ("Is the answer correct?", "Is the answer incorrect?"),
        ("How do I zip a folder?", "How do I unzip a folder?"),
        ("What does the landlord have to repair?", "What does the tenant have to repair?"),
        ("How do I expand the sidebar?", "How do I collapse the sidebar?"),
        ("When does the sun rise in Lima?", "When does the sun set in Lima?"),
    ),
    "question": (
        ("Who built the bridge?", "Why was the bridge built?"),
        ("Where was the treaty signed?", "When was the treaty signed?"),
        ("How do magnets work?", "Where do magnets work?"),
        ("Is the museum open?", "When is the museum open?"),
        ("How much does the course cost?", "How long does the course last?"),
        ("What is a mortgage?", "Who needs a mortgage?"),
        ("Can I bring a dog?", "Where can I bring a dog?"),
        ("How many moons does Neptune have?", "How big are Neptune's moons?"),
    ),
    "added": (
        ("Can I work in Canada?", "Can I work in Canada with a student visa?"),
        ("How do I cook rice?", "How do I cook rice in a microwave?"),
        ("What is the tax rate?", "What is the tax rate for companies?"),
        ("How do I delete a message?", "How do I delete a message for everyone?"),
        ("Is coffee healthy?", "Is coffee healthy during pregnancy?"),
        ("What is the return policy?", "What is the return policy for sale items?"),
        ("How long is the flight to Rome?", "How long is the flight to Rome with a stopover?"),
        ("Who can vote?", "Who can vote by mail?"),
        ("How do I install the driver?", "How do I install the driver on Ubuntu?"),
        ("What is the dose of paracetamol?", "What is the dose of paracetamol for toddlers?"),
        ("Which phones support 5G?", "Which cheap phones support 5G?"),
        ("Tell me about the history of chess.", "Tell me about the recent history of chess."),
    ),
    "quoted": (
        ('What does "break a leg" mean?', 'What does "cost an arm and a leg" mean?'),
        ("Explain `git reset --soft`.", "Explain `git reset --hard`."),
        ("What does `len(x)` return?", "What does `max(x)` return?"),
        ("Is config.yaml read at start?", "Is config.json read at start?"),
        ("Fix this: x = [1, 2, 3", "Fix this: x = (1, 2, 3"),
    ),
}  # fmt: skip

ORDER: Final = (
    "How do I convert {} to {}?", "Is {} heavier than {}?", "Does {} manage {}?",
    "Move the files from {} to {}.", "Did {} defeat {}?", "How do I sync {} into {}?",
    "Why does {} depend on {}?", "Can {} replace {}?",
)  # fmt: skip
THINGS: Final = (("Rome", "Carthage"), ("lead", "tungsten"), ("Dropbox", "OneDrive"), ("Nadia", "Victor"))

FAQ: Final = (
    ("How do I change my email address?", "How can I update my email address?",
     "I want to change my email address, how?", "Where do I change my email?"),
    ("What payment methods do you accept?", "Which payment methods are accepted?", "How can I pay?",
     "What forms of payment do you take?"),
    ("How long does delivery take?", "How long will delivery take?", "What is the delivery time?",
     "When will my order be delivered?"),
    ("How do I track my order?", "Where can I track my order?", "How can I see where my order is?",
     "Is there a way to track my order?"),
    ("Can I get a refund?", "Is it possible to get a refund?", "Am I able to get a refund?",
     "Do you give refunds?"),
    ("How do I cancel my order?", "How can I cancel my order?",
     "I'd like to cancel my order, how do I do that?", "What do I do to cancel an order?"),
    ("What are your opening hours?", "When are you open?", "What hours are you open?",
     "What are your business hours?"),
    ("Do you ship internationally?", "Do you ship to other countries?",
     "Is international shipping available?", "Can you ship abroad?"),
    ("How do I download my invoice?", "Where can I download my invoice?", "How can I get my invoice?",
     "Where do I find my invoice?"),
    ("How do I enable two-factor authentication?", "How do I turn on two-factor authentication?",
     "How can I set up two-factor authentication?", "how to activate two-factor authentication"),
    ("What is machine learning?", "Explain machine learning.", "What does machine learning mean?",
     "Can you explain what machine learning is?"),
    ("What is the capital of Norway?", "What is the capital city of Norway?",
     "Which city is the capital of Norway?", "Norway's capital?"),
    ("Who wrote Hamlet?", "Who is the author of Hamlet?", "Hamlet was written by whom?",
     "Who was Hamlet written by?"),
    ("How do I boil an egg?", "How can I boil an egg?", "What's the best way to boil an egg?",
     "how to boil eggs"),
    ("Why is the sea salty?", "Why is sea water salty?", "What makes the sea salty?",
     "What is the reason the sea is salty?"),
    ("How do I connect to the VPN?", "How can I connect to the VPN?",
     "What are the steps to connect to the VPN?", "How do you connect to the VPN?"),
    ("How many vacation days do I get?", "How many days of vacation do I have?",
     "What is my vacation allowance?", "How much vacation do I get?"),
    ("How do I reset the router?", "How can I reset my router?", "What is the procedure to reset the router?",
     "How should I reset the router?"),
    ("Is the app free?", "Is the app free of charge?", "Does the app cost anything?",
     "Do I have to pay for the app?"),
    ("How do I speak to an agent?", "How can I talk to an agent?", "Can I speak with an agent?",
     "I want to talk to an agent."),
    ("What is the difference between TCP and UDP?", "How do TCP and UDP differ?",
     "What are the differences between UDP and TCP?", "TCP vs UDP: what is the difference?"),
    ("How do I lose weight?", "How can I lose weight?", "What is the best way to lose weight?",
     "What should I do to lose weight?"),
    ("How do I undo the last commit in git?", "How can I undo the last git commit?",
     "How to revert the last commit in git?", "What is the way to undo my last commit in git?"),
    ("What causes headaches?", "What are the causes of headaches?", "Why do people get headaches?",
     "What is the cause of headaches?"),
    ("When was the telephone invented?", "In what year was the telephone invented?",
     "When did someone invent the telephone?", "What year was the telephone invented?"),
    ("How do I merge two PDF files?", "How can I combine two PDF files?",
     "What is the way to merge two PDFs?", "How to join two PDF files"),
    ("Where is the nearest pharmacy?", "Where can I find the nearest pharmacy?",
     "Where's the closest pharmacy?", "What is the nearest pharmacy?"),
    ("Do I need a visa for Japan?", "Is a visa required for Japan?", "Do I need a visa to visit Japan?",
     "Is a visa needed for Japan?"),
    ("What is inflation?", "What's inflation?", "Define inflation.", "What is meant by inflation?"),
    ("How do I export my data?", "How can I export my data?", "Is there a way to export my data?",
     "Can I export my data?"),
)  # fmt: skip


def traps() -> Iterator[Pair]:
    """Questions that look alike and need different answers."""
    yield from swapped(SWAPS)
    yield from paired(WRITTEN)
    yield from turned(ORDER, THINGS)


def paraphrases() -> Iterator[Pair]:
    """Questions of the FAQ kind that deserve the same answer."""
    yield from alike(FAQ)


def random_traffic() -> Iterator[Pair]:
    """Questions of one desk that have nothing to do with each other."""
    yield from crossed(FAQ)
