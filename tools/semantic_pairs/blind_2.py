"""The second blind set, written after the first one's errors had been looked at, before any result on this.

Reported on once. Do not tune on it: write another.
"""

from collections.abc import Iterator
from typing import Final

from tools.semantic_pairs.generate import Pair, alike, paired, swapped

SWAPS: Final = {
    "attribute": (
        ("What is the {} of a queen bee?", ("lifespan", "size", "role", "diet")),
        ("How do I {} a sail?", ("fold", "mend", "raise", "trim")),
        ("Which {} does a glider need?", ("permit", "runway", "insurance", "instruments")),
    ),
    "name": (
        ("When did {} become world chess champion?", ("Tal", "Spassky", "Kramnik")),
        ("what wine goes with {}", ("duck", "oysters", "risotto")),
    ),
    "number": (
        ("Is tooth {} a molar?", ("16", "26", "61")),
        ("What is the fare for {} zones?", ("two", "three", "12")),
    ),
    "unit": (
        ("How many stitches are in a {} of fabric?", ("metre", "yard", "foot")),
        ("Can I pay by the {}?", ("day", "week", "quarter")),
    ),
}  # fmt: skip

WRITTEN: Final = {
    "negation": (
        ("Which mushrooms are edible?", "Which mushrooms are inedible?"),
        ("Does the policy cover hail?", "Does the policy exclude hail?"),
        ("Why did the glaze crack?", "Why did the glaze not crack?"),
        ("Can I dive with a cold?", "Can I dive without a cold?"),
        ("When must I wear a life jacket?", "When must I not wear a life jacket?"),
    ),
    "opposite": (
        ("How do I tighten a bolt?", "How do I loosen a bolt?"),
        ("Is the tide coming in?", "Is the tide going out?"),
        ("Where is the upstairs bathroom?", "Where is the downstairs bathroom?"),
        ("What is the shallowest lake?", "What is the deepest lake?"),
        ("How do I subscribe to the magazine?", "How do I unsubscribe from the magazine?"),
        ("Why are prices going up?", "Why are prices going down?"),
        ("Who won the debate?", "Who lost the debate?"),
        ("Is the ice thick enough?", "Is the ice too thin?"),
        ("How do I wake the computer up?", "How do I put the computer to sleep?"),
    ),
    "added": (
        ("How do I fire clay?", "How do I fire clay at home?"),
        ("Is flossing useful?", "Is flossing useful for children?"),
        ("Can I keep bees?", "Can I keep bees on my balcony?"),
        ("How do I sew a button?", "How do I sew a button with four holes?"),
        ("What is castling?", "What is long castling?"),
        ("How do I moor a boat?", "How do I moor a boat in strong wind?"),
        ("When is the bakery open?", "When is the bakery open during Ramadan?"),
        ("Do I need a licence?", "Do I need a licence for a trailer?"),
        ("Where can I camp?", "Where can I camp for free?"),
        ("How do I renew my passport?", "How do I renew my child's passport?"),
    ),
    "replaced": (
        ("How do I sharpen a chisel?", "How do I hold a chisel?"),
        ("What does a crown cost?", "What does a filling cost?"),
        ("Where do I report a lost dog?", "Where do I report a lost wallet?"),
        ("How do I get to the harbour?", "How do I get to the castle?"),
        ("How do I write an obituary?", "How do I write a eulogy?"),
        ("Why is my honey cloudy?", "Why is my honey bitter?"),
        ("How does a sextant work?", "How does a compass work?"),
        ("What is the best opening against e4?", "What is the best opening against d4?"),
        ("Is my claim covered?", "Is my claim paid out?"),
        ("How do I remove a splinter?", "How do I remove a stitch?"),
        ("Which tooth hurts when I chew?", "Which tooth hurts when I drink?"),
        ("How do I apply for a building permit?", "How do I apply for a fishing permit?"),
        ("What is the minimum deposit?", "What is the maximum deposit?"),
        ("When is low tide?", "When is low season?"),
        ("Who designed the Eiffel Tower?", "Who climbed the Eiffel Tower?"),
        ("How do I change the needle?", "How do I thread the needle?"),
        ("What do bees eat in winter?", "What do bees do in winter?"),
        ("How do I cancel my insurance?", "How do I use my insurance?"),
        ("Can I claim for a delayed flight?", "Can I claim for a missed flight?"),
        ("What does the blue flag mean?", "What does the red flag mean?"),
    ),
    "reworded": (
        ("How do I start beekeeping?", "What does it cost to keep bees?"),
        ("How much is a root canal?", "Does a root canal hurt?"),
        ("What is a stalemate?", "How can I avoid a stalemate?"),
        ("Where can I learn to sail?", "How long does it take to learn to sail?"),
        ("Is my flight on time?", "What happens if my flight is late?"),
        ("How do I make a claim?", "How long does a claim take?"),
        ("Why do bees swarm?", "What should I do when my bees swarm?"),
        ("How do I wash wool?", "Can wool be washed at 40 degrees?"),
        ("What is an en passant capture?", "When is an en passant capture allowed?"),
        ("Who can vote in local elections?", "Where do I vote in local elections?"),
        ("How often should I see a dentist?",
         "When should I take my child to the dentist for the first time?"),
        ("How do I choose a tent?", "How do I pitch a tent?"),
        ("What does a notary do?", "When do I need a notary?"),
        ("How old is the cathedral?", "How tall is the cathedral?"),
        ("Is there a bus to the beach?", "How much is the bus to the beach?"),
        ("How do I get a parking permit?", "How much does a parking permit cost?"),
        ("Do I need a helmet?", "Which helmet do I need?"),
        ("Can I swim here?", "Is it allowed to fish here?"),
    ),
    "order": (
        ("Does the tenant pay the landlord's tax?", "Does the landlord pay the tenant's tax?"),
        ("How do I turn clay into stone?", "How do I turn stone into clay?"),
        ("Is a rook worth more than a bishop?", "Is a bishop worth more than a rook?"),
        ("Which country sold Alaska to America?", "Which country did America sell Alaska to?"),
    ),
    "tense": (
        ("Is the lighthouse open?", "Was the lighthouse open?"),
        ("Who captains the team?", "Who captained the team?"),
        ("What does the mayor earn?", "What did the mayor earn?"),
        ("Where do the bees live?", "Where did the bees live?"),
    ),
    "person": (
        ("Can they see my location?", "Can I see their location?"),
        ("What do I owe him?", "What does he owe me?"),
        ("Where is her dentist?", "Where is my dentist?"),
    ),
    "question": (
        ("When was the harbour built?", "Why was the harbour built?"),
        ("How long is the pier?", "How old is the pier?"),
        ("Who owns the lighthouse?", "Who built the lighthouse?"),
        ("How many lifeboats are there?", "Where are the lifeboats?"),
    ),
    "scope": (
        ("Which shops are open on Sunday?", "Which shops are only open on Sunday?"),
        ("Show the first ten results.", "Show the last ten results."),
        ("Delete all drafts.", "Delete all drafts except mine."),
        ("Can children under six ride?", "Can children over six ride?"),
    ),
    "quoted": (
        ('What is the plural of "octopus"?', 'What is the plural of "ox"?'),
        ("What does `ls -l` print?", "What does `ls -a` print?"),
    ),
}  # fmt: skip

FAQ: Final = (
    ("How do I keep bees?", "How can I start keeping bees?", "What do I need to start keeping bees?"),
    ("How much does a root canal cost?", "What does a root canal cost?",
     "What is the price of a root canal?"),
    ("How do I tie a bowline?", "How can I tie a bowline knot?", "What are the steps to tie a bowline?"),
    ("When is high tide today?", "What time is high tide today?", "At what time is it high tide today?"),
    ("Is the museum wheelchair accessible?", "Can I visit the museum in a wheelchair?",
     "Is the museum accessible for wheelchair users?"),
    ("How do I renew my driving licence?", "How can I extend my driving licence?",
     "What is the procedure for renewing a driving licence?"),
    ("What is a checkmate?", "What does checkmate mean?", "Can you explain what checkmate is?"),
    ("Do you repair sewing machines?", "Can you repair my sewing machine?", "Do you fix sewing machines?"),
    ("How hot does a kiln get?", "What temperature does a kiln reach?", "How hot is a kiln?"),
    ("Where can I rent a canoe?", "Where do I rent canoes?", "Is there a place where I can rent a canoe?"),
    ("Why are my teeth yellow?", "What makes my teeth yellow?", "What is the reason for yellow teeth?"),
    ("How do I report a broken street light?", "Where can I report a broken street light?",
     "How can I report that a street light is broken?"),
    ("How many pieces does each player have in chess?", "How many chess pieces does a player have?",
     "What is the number of pieces of each chess player?"),
    ("What should I do after a bee sting?", "I was stung by a bee, what should I do?",
     "What do I do when a bee stings me?"),
    ("Can I pay in cash?", "Is it possible to pay in cash?", "Do you accept cash?"),
    ("How do I hem trousers?", "How can I hem my trousers?", "What is the best way to hem trousers?"),
    ("What is the excess on my policy?", "How high is the excess of my policy?",
     "How much is my policy excess?"),
    ("Who invented the telescope?", "Who was the inventor of the telescope?",
     "By whom was the telescope invented?"),
    ("How long does it take to learn to sail?", "How much time does it take to learn sailing?",
     "How long do I need to learn sailing?"),
    ("Is the tap water safe to drink?", "Can I drink the tap water?", "Is it safe to drink tap water?"),
    ("How do I cancel my appointment?", "How can I cancel my dental appointment?",
     "I need to cancel my appointment, how do I do that?"),
    ("What is included in the ticket?", "What does the ticket include?",
     "Which things are included in the ticket price?"),
    ("How do I stop my glasses from fogging up?", "How can I prevent my glasses from fogging?",
     "What can I do against foggy glasses?"),
    ("Where do I find my policy number?", "Where is my policy number?",
     "How can I find out my policy number?"),
    ("Do I need to book in advance?", "Is booking in advance necessary?", "Do I have to reserve in advance?"),
    ("What is the difference between a ship and a boat?", "How do ships differ from boats?",
     "What distinguishes a ship from a boat?"),
    ("How do I remove wax from fabric?", "How can I get wax out of fabric?",
     "What is the best way to get wax off fabric?"),
    ("Which vaccinations do I need for Kenya?", "What vaccines are needed for Kenya?",
     "What vaccinations are required for Kenya?"),
    ("How do I find a good dentist?", "How can I find a good dentist?",
     "What is the best way to find a good dentist?"),
    ("Are there lockers at the station?", "Does the station have lockers?",
     "Can I find lockers at the station?"),
    ("How large is the campsite?", "How big is the campsite?", "What is the size of the campsite?"),
    ("Why did my application fail?", "What is the reason that my application failed?",
     "Why was my application unsuccessful?"),
)  # fmt: skip


def traps() -> Iterator[Pair]:
    """Questions that look alike and need different answers."""
    yield from swapped(SWAPS)
    yield from paired(WRITTEN)


def paraphrases() -> Iterator[Pair]:
    """Questions of the FAQ kind that deserve the same answer."""
    yield from alike(FAQ)
