"""Help desks to fit the score on: of one matter several questions, each in several wordings.

Two wordings of one question deserve the same answer. Two questions of one desk do not, though they share their
topic and most of their words: the reworded near misses that templates with one slot do not make.
"""

from collections.abc import Iterator
from itertools import combinations, product
from typing import Final

from tools.semantic_pairs.generate import Pair, swapped

DESKS: Final = (
    (
        ("How do I pair my headphones?", "How can I connect my headphones over Bluetooth?", "What are the steps to pair the headphones?", "My headphones are not paired yet, how do I do it?"),
        ("Why do my headphones keep disconnecting?", "What makes my headphones disconnect all the time?", "My headphones keep losing the connection, why?"),
        ("How long does the battery of the headphones last?", "What is the battery life of the headphones?", "How many hours do the headphones run on one charge?"),
        ("How do I clean my headphones?", "What is the best way to clean headphones?", "How should I clean the headphones?"),
        ("Are the headphones waterproof?", "Can the headphones get wet?", "Do the headphones survive rain?"),
    ),
    (
        ("How do I file my tax return?", "How can I submit my tax return?", "What do I have to do to file a tax return?", "Where can I submit my tax return?"),
        ("When do I have to file my tax return?", "What is the deadline for the tax return?", "By what date must the tax return be filed?"),
        ("Who has to file a tax return?", "Which people must file a tax return?", "Do I have to file a tax return?"),
        ("What can I deduct in my tax return?", "Which costs are deductible in my tax return?", "What expenses are tax deductible?"),
        ("How do I correct a tax return that I have filed?", "How can I fix a mistake in my tax return?", "I made a mistake in my tax return, how do I correct it?"),
        ("How long does it take to process a tax return?", "When will my tax return be processed?", "What is the processing time of a tax return?"),
    ),
    (
        ("How do I restart a pod in Kubernetes?", "How can I restart a Kubernetes pod?", "What is the command to restart a pod?", "Restart a Kubernetes pod"),
        ("How do I see the logs of a pod?", "How can I view pod logs?", "Where do I find the logs of a Kubernetes pod?"),
        ("Why does my pod keep crashing?", "What causes my pod to crash again and again?", "My pod keeps crashing, why is that?"),
        ("How do I scale a deployment?", "How can I change the number of replicas of a deployment?", "What is the way to scale a Kubernetes deployment?"),
        ("What is a pod?", "What does pod mean in Kubernetes?", "Can you explain what a pod is?", "Explain pods to me."),
    ),
    (
        ("How many points do I get for a flight?", "How are points for flights calculated?", "What number of points does a flight earn?"),
        ("How do I redeem my points?", "How can I use my points?", "What can I do to redeem loyalty points?"),
        ("When do my points expire?", "How long are my points valid?", "What is the expiry date of my points?"),
        ("Can I give my points to someone else?", "Is it possible to transfer my points to another person?", "Am I allowed to transfer points?"),
        ("Why are my points missing?", "What is the reason that my points are missing?", "My points have not arrived, why?"),
        ("Where can I see how many points I have?", "How do I check my points balance?", "How can I see my points?"),
    ),
    (
        ("How do I make sourdough starter?", "How can I make my own sourdough starter?", "What is the way to make a sourdough starter?"),
        ("How often do I feed a sourdough starter?", "How frequently does sourdough starter need feeding?", "At what intervals should I feed my sourdough starter?"),
        ("Why is my sourdough flat?", "What makes my sourdough bread flat?", "What is the reason for flat sourdough?"),
        ("At what temperature do I bake sourdough?", "How hot should the oven be for sourdough?", "What is the right oven temperature for sourdough bread?"),
        ("Can I freeze sourdough bread?", "Is it possible to freeze sourdough?", "Can sourdough bread be frozen?"),
        ("Is sourdough healthier than white bread?", "Is sourdough better for you than white bread?", "Is white bread less healthy than sourdough?"),
    ),
    (
        ("What do solar panels cost?", "How much do solar panels cost?", "What is the price of solar panels?", "How expensive are solar panels?"),
        ("How long do solar panels last?", "What is the lifetime of solar panels?", "How many years can I use solar panels?"),
        ("How do solar panels work?", "Can you explain how solar panels work?", "How do solar panels make electricity?"),
        ("Do solar panels work on cloudy days?", "Do solar panels produce power when it is cloudy?", "Are solar panels any use on cloudy days?"),
        ("Do I need a permit for solar panels?", "Is a permit required for solar panels?", "Must I get a permit to install solar panels?"),
        ("How do I clean solar panels?", "What is the best method to clean solar panels?", "How should solar panels be cleaned?"),
    ),
    (
        ("How do I share my screen in a call?", "How can I share my screen during a video call?", "What do I click to share my screen?"),
        ("How do I record a call?", "How can I record a video call?", "Is there a way to record a call?"),
        ("Why can nobody hear me?", "What is the reason that nobody hears me in the call?", "Nobody can hear me, why?"),
        ("How many people can join a call?", "What is the maximum number of people in a call?", "How many participants may a video call have?"),
        ("How do I blur my background?", "How can I blur the background in a call?", "What is the way to blur my background in a video call?"),
        ("How do I join a call without an account?", "Can I join a call without an account?", "Is it possible to join without having an account?"),
    ),
    (
        ("How do I donate blood?", "How can I give blood?", "Where can I donate blood?"),
        ("Who can donate blood?", "Who is allowed to give blood?", "Which people can donate blood?"),
        ("How often can I donate blood?", "How frequently may I give blood?", "How many times a year can I donate blood?"),
        ("Does donating blood hurt?", "Is giving blood painful?", "Is it painful to donate blood?"),
        ("What should I eat before donating blood?", "Which food is good before giving blood?", "What is best to eat before I give blood?"),
        ("How long does a blood donation take?", "How much time does it take to donate blood?", "What is the duration of a blood donation?"),
    ),
    (
        ("How do I track my parcel?", "Where is my parcel?", "How can I follow my parcel?", "Where can I see where my parcel is?"),
        ("My parcel is damaged, what should I do?", "What do I do when my parcel is damaged?", "What can I do if the parcel arrives damaged?"),
        ("How do I change the delivery address?", "How can I change the address of a delivery?", "Is it possible to change the delivery address?"),
        ("How much does express delivery cost?", "What is the price of express delivery?", "What do you charge for express delivery?"),
        ("How do I send a parcel abroad?", "How can I ship a parcel to another country?", "What do I need to do to send a parcel abroad?"),
        ("What is the maximum weight of a parcel?", "How heavy can a parcel be?", "What may a parcel weigh at most?"),
    ),
    (
        ("How do I tune a violin?", "How can I tune my violin?", "What is the right way to tune a violin?"),
        ("How hard is it to learn the violin?", "How difficult is learning the violin?", "How difficult is it to learn to play the violin?"),
        ("How much is a violin for beginners?", "What does a beginner violin cost?", "What is the cost of a violin for a beginner?"),
        ("How often should I change violin strings?", "How frequently do violin strings need changing?", "When should violin strings be changed?"),
        ("What is the difference between a violin and a viola?", "How does a violin differ from a viola?", "How are violins different from violas?"),
        ("Who invented the violin?", "Who was the inventor of the violin?", "By whom was the violin invented?"),
    ),
    (
        ("How do I adopt a cat?", "How can I adopt a cat from the shelter?", "What are the steps to adopt a cat?", "I want to adopt a cat, how does that work?"),
        ("What does it cost to adopt a cat?", "How much is the adoption fee for a cat?", "What is the price for adopting a cat?"),
        ("Are the cats vaccinated?", "Have the cats been vaccinated?", "Do the cats have their vaccinations?"),
        ("Can I bring a cat back?", "Is it possible to return a cat?", "Can I return a cat to the shelter?"),
        ("How old must I be to adopt a cat?", "What is the minimum age to adopt a cat?", "From what age can one adopt a cat?"),
        ("When can I visit the cats?", "What are the visiting hours for the cats?", "At what times can I see the cats?"),
    ),
    (
        ("How do I create a virtual environment in Python?", "How can I make a Python virtual environment?", "What is the command to create a Python virtual environment?"),
        ("How do I activate a virtual environment?", "How can I activate my virtual environment?", "What command activates a virtual environment?"),
        ("How do I delete a virtual environment?", "How can I remove a virtual environment?", "What is the way to get rid of a virtual environment?"),
        ("Why should I use a virtual environment?", "What is the reason to use a virtual environment?", "What are virtual environments good for?"),
        ("Which Python version does my virtual environment use?", "How do I find the Python version of my virtual environment?", "How can I see what Python version a virtual environment has?"),
        ("How do I list installed packages?", "How can I see which packages are installed?", "What is the command to list all installed packages?"),
    ),
    (
        ("What is the interest rate of the savings account?", "How high is the interest on the savings account?", "How much interest does the savings account pay?"),
        ("How do I open a savings account?", "How can I open a savings account?", "What is needed to open a savings account?"),
        ("How do I close my savings account?", "How can I close the savings account?", "What is the procedure to close my savings account?"),
        ("Is there a fee for the savings account?", "Does the savings account cost anything?", "Do you charge a fee for the savings account?"),
        ("How much money can I put into the savings account?", "What is the maximum amount for the savings account?", "Is there a limit for the savings account?"),
        ("How quickly can I get money from the savings account?", "How long does it take to withdraw from the savings account?", "How fast is a withdrawal from the savings account?"),
    ),
    (
        ("What is a black hole?", "Can you explain what a black hole is?", "What does black hole mean?", "Explain black holes."),
        ("How do black holes form?", "How does a black hole come into being?", "How are black holes formed?"),
        ("How big is the largest black hole?", "What is the size of the largest black hole?", "How large is the biggest black hole?"),
        ("How far away is the nearest black hole?", "What is the distance to the nearest black hole?", "How far is it to the closest black hole?"),
        ("Who discovered black holes?", "Who was the discoverer of black holes?", "Which scientist discovered black holes?"),
        ("What happens when you fall into a black hole?", "What would happen if someone fell into a black hole?", "What happens to a person who falls into a black hole?"),
    ),
    (
        ("How do I apply for parental leave?", "How can I request parental leave?", "What is the process for requesting parental leave?"),
        ("How long is parental leave?", "What is the length of parental leave?", "How many weeks of parental leave do I get?"),
        ("Is parental leave paid?", "Do I get paid during parental leave?", "Am I paid while on parental leave?"),
        ("Can fathers take parental leave?", "Is parental leave available to fathers?", "Do fathers get parental leave?"),
        ("When must I tell my boss about parental leave?", "How early do I have to announce parental leave?", "By when should I announce my parental leave?"),
        ("Can I work part time after parental leave?", "Is part time work possible after parental leave?", "Am I allowed to go part time after my parental leave?"),
    ),
    (
        ("How do I repot an orchid?", "How can I repot my orchid?", "What is the best way to repot orchids?"),
        ("Why do the leaves of my orchid turn yellow?", "What causes yellow leaves on an orchid?", "My orchid gets yellow leaves, why?"),
        ("How much light does an orchid need?", "What amount of light is right for an orchid?", "How much light is right for an orchid?"),
        ("Which soil is best for orchids?", "What is the best soil for an orchid?", "What kind of soil do orchids need?"),
        ("How do I get my orchid to bloom again?", "What can I do to make my orchid bloom again?", "How can I make an orchid flower again?"),
        ("How long do orchids live?", "What is the lifespan of an orchid?", "How many years does an orchid live?"),
    ),
    (
        ("Where can I buy tickets for the concert?", "How do I get tickets for the concert?", "How can I buy a concert ticket?"),
        ("What time does the concert start?", "When does the concert begin?", "At what time is the concert starting?"),
        ("Is the concert sold out?", "Are there any tickets left for the concert?", "Are concert tickets still available?"),
        ("How long does the concert last?", "What is the length of the concert?", "How many hours will the concert take?"),
        ("Who is playing at the concert?", "Which bands play at the concert?", "What artists are performing at the concert?"),
        ("Can I resell my ticket?", "Is it allowed to sell my ticket to someone else?", "May I resell the concert ticket?"),
    ),
    (
        ("How do I train for a marathon?", "How should I train for a marathon?", "What is a good way to prepare for a marathon?"),
        ("How far is a marathon?", "What is the distance of a marathon?", "What distance is a marathon?", "How many kilometres is a marathon?"),
        ("What should I eat before a marathon?", "What is good to eat before a marathon?", "Which food is best before a marathon?"),
        ("How long does it take to run a marathon?", "How much time does a marathon take?", "How many hours does it take to finish a marathon?"),
        ("How do I sign up for the marathon?", "Where can I register for the marathon?", "How can I enter the marathon?"),
        ("Which shoes are best for a marathon?", "What are the best shoes for a marathon?", "What shoes should I wear for a marathon?"),
    ),
    (
        ("How do I mute a channel?", "How can I mute a channel?", "How do I turn off notifications of a channel?"),
        ("How do I leave a channel?", "How can I leave a channel?", "What do I do to leave a channel?"),
        ("How do I create a private channel?", "How can I make a private channel?", "What are the steps to create a private channel?"),
        ("Who can see messages in a private channel?", "Which people can read the messages of a private channel?", "Are messages in a private channel visible to others?"),
        ("How do I pin a message?", "How can I pin a message in a channel?", "What is the way to pin messages?"),
        ("How long are messages kept?", "For how long do you keep messages?", "When are messages deleted?"),
    ),
    (
        ("What does the word sonder mean?", "What is the meaning of sonder?", "Define sonder.", "What is the definition of sonder?"),
        ("Where does the word sonder come from?", "What is the origin of the word sonder?", "What is the etymology of sonder?"),
        ("How do I pronounce sonder?", "How is sonder pronounced?", "What is the pronunciation of sonder?"),
        ("Is sonder a real word?", "Is the word sonder in the dictionary?", "Does the word sonder exist?"),
        ("Who coined the word sonder?", "By whom was the word sonder coined?", "Who made up the word sonder?"),
    ),
)  # fmt: skip


# One word is another in an equal frame, as in the templates of `fit`, with the words of these desks.
SWAPS: Final = {
    "attribute": (
        ("What is the {} of the parcel?", ("weight", "value", "sender", "status", "destination")),
        ("How do I {} a pod in Kubernetes?", ("describe", "restart", "delete", "expose", "debug")),
        ("How do I {} a savings account?", ("open", "close", "share", "inherit", "rename")),
        ("Can I {} parental leave?", ("extend", "split", "refuse", "interrupt", "postpone")),
        ("Where can I {} my violin?", ("sell", "insure", "play", "tune", "repair")),
        ("What is the {} of a violin?", ("price", "range", "shape", "history", "sound")),
        ("How do I {} a virtual environment?", ("create", "activate", "copy", "move", "share")),
        ("Why is my orchid {}?", ("dying", "blooming", "leaning", "sticky", "turning purple")),
        ("How do black holes {}?", ("form", "die", "grow", "merge", "spin")),
        ("Who {} the concert?", ("opens", "cancelled", "organises", "films", "pays for")),
        ("How do I {} for the marathon?", ("train", "register", "volunteer", "qualify")),
        ("What {} do cats need?", ("food", "vaccinations", "toys", "company")),
        ("How do I {} a message?", ("pin", "edit", "forward", "delete", "translate")),
        ("Is {} tax deductible?", ("rent", "childcare", "a donation", "a laptop", "tuition")),
        ("How much {} does sourdough need?", ("salt", "water", "flour", "time")),
    ),
}  # fmt: skip


def traps() -> Iterator[Pair]:
    """Every wording of a question with every wording of the others of its desk."""
    yield from swapped(SWAPS)
    for desk in DESKS:
        for one, other in combinations(desk, 2):
            for first, second in product(one, other):
                yield Pair(first, second, False, "other question")


def paraphrases() -> Iterator[Pair]:
    """Each two wordings of a question."""
    for desk in DESKS:
        for group in desk:
            for first, second in combinations(group, 2):
                yield Pair(first, second, True, "paraphrase")
