"""Whole English sentences that ask the same, brought into one form. Data only; lower case, one sentence.

As `phrases`, but a frame holds a sentence from its first word to its last. A yes to one form must be a yes to
the other: "is it free" is no frame of "does it cost anything".
"""

from collections.abc import Mapping
from typing import Final

from meshgate_cache.semantic.rewriting import rewritings

_THING: Final = r"((?!the |this |that |my |your |it |how |why |when |where |if )[\w'-]+(?: [\w'-]+){0,3})"
_BUSINESS_HOURS: Final = r"(?:opening|business|office|store|shop) (?:hours|times)"
_DOING_IT: Final = r"[,.?!]? (?:but |and |so )?how(?: to| (?:can|do|should|must|could) (?:i|we))?"

_MADE: Final = "written|painted|invented|discovered|composed|founded|directed|built|designed|created"

# What a business does to things: are they accepted, do you accept them.
_SERVICES: Final = {
    "accepted": "accept", "allowed": "allow", "supported": "support", "encrypted": "encrypt",
    "stored": "store", "shared": "share", "sold": "sell", "repaired": "repair", "delivered": "deliver",
    "refunded": "refund", "recycled": "recycle",
}  # fmt: skip
_DO_SERVICES: Final = "|".join(_SERVICES.values())

_FRAMES: Final[Mapping[str, str]] = {
    # what to do if
    r"(.+?)[,.!;]+ (?:and |so )?what(?: (?:should|do|can|must) (?:i|we) perform)?(?: now)?":
    r"what should i do if \1",
    r"what should i do if ((?:my|the|an?|our) [\w' -]+?) (?:was|has been|had been|gets|got) (\w+)":
    r"what should i do if \1 is \2",
    r"what should i do if (i|we) (?:have |had )?(forg|l)(?:et|ot|otten|ose|ost) (.+)":
    r"what should i do if \1 \2ot \3",
    # indirect questions
    r"(?:if|whether) (i|we|you|it|they|there) (can|could|should|may|must|do|is|are) (.+)": r"\2 \1 \3",
    r"(what|where|who|when|how (?:much|old|tall|long|far|big|deep)) "
    r"(?!is |are |was |were |do |does |did |can |will |time )(.+?) (is|are|was|were)": r"\1 \3 \2",
    # the capital of X, your policy on X
    r"(?:about )?(the [\w-]+(?: [\w-]+)? of [\w' -]+|(?:the|your|our) [\w -]*policy)": r"what is \1",
    r"(?:can|could|would) you (?:explain|describe) ((?:the|your|our) [\w -]*policy)": r"what is \1",
    r"(?:explain|describe) ((?:the|your|our) [\w -]*policy)": r"what is \1",
    r"(?:calculate|compute) (the .+)": r"what is \1",
    r"(?:list|name) the (\w+s (?:of|in) .+)": r"what are the \1",
    r"what (?:is the full form of|does the abbreviation) ([\w -]+?)(?: stand for| mean)?":
    r"what does \1 stand for",
    r"what is ([\w-]+) (?:short|an abbreviation|an acronym) for": r"what does \1 stand for",
    # how two things differ
    r"(?:how (?:do|does) (.+?) differ|how (?:is|are) (.+?) different|what distinguishes (.+?)) from (.+)":
    r"what is the difference between \1\2\3 and \4",
    r"how (?:do|does|is|are) ([\w' -]+?) and ([\w' -]+?) (?:differ|different)"
    r"(?: from (?:each other|one another))?":
    r"what is the difference between \1 and \2",
    r"how far (?:is|are) (?!it |from )(.+?) (?:away )?from (.+)": r"how far is between \1 and \2",
    # how many there are
    r"how many ([\w' -]+?) (?:are there|exist) in (.+)": r"how many \1 are in \2",
    r"how many ([\w' -]+?) (?:does|do) (.+?) have": r"how many \1 are in \2",
    r"what is the number of ([\w' -]+?) in (.+)": r"how many \1 are in \2",
    r"how many ([\w' -]+?) exist": r"how many \1 are there",
    # money and language of a country
    r"(?:what|which) currency (?:is used in|do (?:they|people) (?:use|have) in|does) ([\w' -]+?)"
    r"(?: use| have)?":
    r"what is the currency of \1",
    r"(?:what|which) (languages?) (?:is|are) spoken in (.+)": r"what \1 is spoken in \2",
    r"(?:what|which) (languages?) (?:do|does) (?:people|they) speak in (.+)": r"what \1 is spoken in \2",
    # what a business does
    r"where (?:is|are) ([\w' -]+?) stored": r"where do you store \1",
    r"(?:what|which) ([\w' -]+?) (?:is|are) (?:accepted|supported)(?: here)?": r"which \1 do you accept",
    r"(?:what|which) ([\w' -]+?) (?:do|can) you (?:accept|support|take)(?: here)?":
    r"which \1 do you accept",
    **{
        rf"(?:is|are) (?!there |it |this |that )([\w' -]+?) {done}": rf"do you {do} \1"
        for done, do in _SERVICES.items()
    },
    rf"(?:can|could) you ({_DO_SERVICES}|ship|send|offer|install) (.+)": r"do you \1 \2",
    r"do you (?:sell|carry) (?!my |our |the |your )(.+)": r"do you have \1",
    r"(?:do|does) (.+?) open on ((?:mon|tues|wednes|thurs|fri|satur|sun|holi)days?|weekends?)":
    r"is \1 open on \2",
    r"(?:does|do) (the|this|your) ([\w -]+?) have (?:any |an? )?(.+)": r"is there \3 in \1 \2",
    r"(?:does|do) the (?:room |ticket )?(?:price|rate) include (.+)": r"is \1 included",
    r"(?:is|are) ([\w' -]+?) included in the (?:room |ticket )?(?:price|rate)": r"is \1 included",
    r"what (?:is|are) the treatments? (?:for|of) (.+)": r"how to treat \1",
    r"what (?:is|are) the (?:fees?|costs?|charges?|prices?) (?:of|for) (.+)": r"how much is \1",
    # what is X
    rf"(?:explain|describe)(?: to me)?(?: what)? {_THING}(?: to me| is| are| means?)?": r"what is \1",
    rf"(?:can|could|would) you (?:explain|describe)(?: to me)?(?: what)? {_THING}(?: is| are| means?)?":
    r"what is \1",
    rf"what (?:does|do) {_THING} mean": r"what is \1",
    rf"what (?:is|are) the (?:meaning|definition) of {_THING}": r"what is \1",
    rf"{_THING} (?:meaning|definition)": r"what is \1",
    r"(?:explain|describe)(?: to me)? ((?:how|why|when|where) .+)": r"\1",
    r"(?:name|tell me|give me) the ((?:capital|currency|author|inventor|president|population) .+)":
    r"what is the \1",
    # how to do X
    r"(?:i|we) (?:want|wish|would like|like) to "
    r"((?:cancel|change|reset|update|close|return|track|upgrade|downgrade|activate|exchange|renew) [\w' -]+)":
    r"how to \1",
    rf"(?:i|we) (?:(?:want|wish|like|would like|am trying|try|need) to|must) (.+?){_DOING_IT}"
    r"(?: do)?(?: (?:perform|that|this|it|so))*":
    r"how to \1",
    rf"(?:i|we) (?:have )?(?:forgot|forgotten|lost) (my [\w' -]+?){_DOING_IT} (reset|recover|change) it":
    r"how to \2 \1",
    r"(?:i|we) (?:want|wish|like|would like|need) to know (.+)": r"\1",
    r"(?:i need|need) help (?:with )?(\w+ing .+)": r"how to \1",
    r"how (?:is|are) ([\w' -]+?) made": r"how to make \1",
    r"how (?:is|are) ([\w' -]+?) (\w{3,}ed)": r"how to \2 \1",
    r"how to (?:see|check|know|find out|follow) (?:where (?:my|an|the) (order|parcel|package|delivery) is"
    r"|(?:the )?status of (?:my|an|the) (order|parcel|package|delivery)"
    r"|(?:my|an|the) (order|parcel|package|delivery) status)":
    r"how to track my \1\2\3",
    r"(?:what|which) payment methods (?:(?:do|can) (?:you|i) (?:accept|take|offer|support|use)"
    r"|are (?:accepted|available|supported|possible))":
    "how to pay",
    # whether there is X
    r"do you (?:have|offer|provide) (?:any |a |an |some )?(.+)": r"is there \1",
    r"(?:is|are) there (?:any |a |an |some )?(.+)": r"is there \1",
    r"is there (.+?) at (the|this|your) (\w+)": r"is there \1 in \2 \3",
    r"is there ((?!an?\b|any\b|no\b|more\b|other\b|further\b|the\b|this\b|that\b)[a-z-]{4,}) discounts?":
    r"is there discount for \1s",
    r"is there discounts for (.+)": r"is there discount for \1",
    r"(?:is|are) (?!there )(?:any |a |an )?([\w' -]+?) available": r"is there \1",
    r"do (students|members|children|seniors) get (?:any |a |an )?([\w-]+)": r"is there \2 for \1",
    # how much X costs
    r"(?:what|how much) (?:does|do|will|would|is|are) (.+?) cost": r"how much is \1",
    r"what (?:is|are) the ([\w' -]+?) (?:costs?|price|fees?)": r"how much is \1",
    r"what (?:does|do|is) (.+?) cost": r"how much is \1",
    # when it is open, how long it takes
    rf"what (?:are|is) (?:your|the) (?:{_BUSINESS_HOURS}|hours(?: of operation)?)": "when are you open",
    rf"what (?:are|is) the {_BUSINESS_HOURS} (?:of|for) (.+)": r"when is \1 open",
    rf"what (?:are|is) (the [\w -]+?) {_BUSINESS_HOURS}": r"when is \1 open",
    # why X
    r"why (?:do|does) (.+?) (?:happen|occur)": r"what causes \1",
    r"what (?:is|are) the causes? of (.+)": r"what causes \1",
    r"(.+?), why": r"why \1",
    # of what age, at what temperature
    r"how old (?:must|do|does) (?:i|you|one|we|someone)(?: must)? be to (.+)":
    r"what is the minimum age to \1",
    r"at what age (?:can|may) (?:i|you|one|we) (.+)": r"what is the minimum age to \1",
    r"what is the minimum age (?:for|to) (.+)": r"what is the minimum age to \1",
    r"(?:at )?what temperature (?:does|do) (.+?) (boil|melt)(?: at)?": r"what is the \2ing point of \1",
    r"(?:at )?what temperature (?:does|do) (.+?) freeze(?: at)?": r"what is the freezing point of \1",
    # what can be done
    r"can ([\w' -]+?) be (\w+ed)": r"can i \2 \1",
    r"how (?:can|should|must) ([\w' -]+?) be (\w+ed)": r"how to \2 \1",
    # what effects X has
    r"(?:what|which) (side effects|symptoms|benefits|advantages|disadvantages|drawbacks|health benefits) "
    r"(?:does|do|can|may|might|could) (.+?) (?:have|cause|offer|bring)":
    r"what are the \1 of \2",
    r"why (?:is|are) (.+?) (?:good|healthy) for (?:you|me|us|people|one)": r"what are the benefits of \1",
    # where it is; whom to talk to; whether it is sent abroad
    r"what is the (?:current )?status of (my (?:order|package|parcel|delivery|shipment))": r"where is \1",
    r"(?:(?:can|may|could) i|(?:i|we) (?:want|would like|like|wish|need|must)(?: to)?|how (?:to|do i|can i)) "
    r"(?:talk|speak) (?:to|with) "
    r"((?:an? |the |some)?(?:support|human|agent|representative|operator|advisor|one|person|staff)(?: .+)?)":
    r"how to talk to \1",
    r"(?:(?:can|do|will) you (?:ship|deliver) (?:abroad|overseas|worldwide|internationally)"
    r"|is there (?:international|worldwide) (?:shipping|delivery))":
    r"do you ship abroad",
    r"(?:do|can|will) you (?:ship|deliver|send) to (.+)": r"do you ship to \1",
    r"is (?:shipping|delivery) to (.+?) (?:possible|available)": r"do you ship to \1",
    r"what is the location of (.+)": r"where is \1",
    r"is (\w+ing)( .+?)? (?:possible|allowed|permitted)( .+)?": r"can i \1\2\3",
    r"is (?!it |this |that )([\w' -]+?) possible": r"can i get \1",
    # what it includes; what may be done
    r"(?:what|which \w+) (?:is|are) included (?:in|with) (.+)": r"what does \1 include",
    r"(?:is|are) ([\w' -]+?) included in (.+)": r"does \2 include \1",
    r"(?:can|may) i pay (?:by|with|in|using) (?:an? )?(.+)": r"do you accept \1",
    r"do you (?:accept|take) (cash|cards|credit cards|paypal|cheques|checks|bitcoin)(?: payments?)?":
    r"do you accept \1",
    r"(?:is|are) (?!it )([\w' -]+?) (safe|legal|healthy|dangerous|bad|good|hard) to (\w+)":
    r"is it \2 to \3 \1",
    # who did X
    r"who (?:is|was) the painter of (.+)": r"who painted \1",
    r"who (?:is|was) the composer of (.+)": r"who composed \1",
    r"who (?:is|was) the director of (.+)": r"who directed \1",
    r"who (?:is|was) the designer of (.+)": r"who designed \1",
    r"who (?:is|was) the inventor of (.+)": r"who invented \1",
    r"who (?:is|was) the discoverer of (.+)": r"who discovered \1",
    r"who (?:is|was) the founder of (.+)": r"who founded \1",
    r"who is the owner of (.+)": r"who owns \1",
    # the same in the passive
    r"(?:by (?:whom|who) (?:was|were) ([\w' -]+?)|who (?:was|were) ([\w' -]+?)) "
    rf"({_MADE})(?: by)?":
    r"who \3 \1\2",
    r"([\w' -]+?) (?:was|were) "
    rf"({_MADE}) by (?:whom|who)":
    r"who \2 \1",
}  # fmt: skip

FRAMES: Final = rewritings(_FRAMES, "", r"\s*[?.!]*\s*$")
CHARACTERS_MAX: Final = 160  # a longer text is no one sentence of these


def framed(text: str) -> str:
    """`text` in the form that stands for it; what is no frame as it is."""
    if len(text) > CHARACTERS_MAX:
        return text
    for frame in FRAMES:
        if frame.literal in text:
            match = frame.pattern.match(text)
            if match:
                text = match.expand(frame.form)
    return text
