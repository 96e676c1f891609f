"""English phrases that stand for one another, and those that say nothing. Data only; lower case.

Each phrase is brought into one form before anything is compared.
"""

import re
from collections.abc import Mapping
from typing import Final

_PHRASES: Final[Mapping[str, str]] = {
    r"capital city": "capital",
    r"what (?:is|are) the reasons?(?: (?:for|that|why|behind|of))?": "why",
    r"get rid of": "remove",
    r"get in touch with": "contact",
    r"for what reasons?": "why",
    r"what (?:should|can|must|could|do|to) (?:i |one |we |you |people )?(?:(?:have|need) to )?do "
    r"(?:to|in order to)": "how to",
    r"(?:is|are) there (?:a |any |some )?(?:good |easy |best )?ways? (?:to|of|for)": "how to",
    r"what (?:is|are) (?:some |the )?(?:good |best |effective |easy )?ways? (?:to|of|for)": "how to",
    r"what (?:is|are) the (?:steps?|process|procedure|method|shortcut) (?:to|for|of)": "how to",
    r"what (?:is|are) (?:some |the )?ways (?:to|of|for)": "how to",
    r"how (?:would|could|can|do|does|should) (?:you|i|we|one) go about": "how to",
    r"(?:is it possible|am i able|are we able|is one able) to": "can i",
    r"what makes": "why",
    r"what is the cause of": "what causes",
    r"what are the causes of": "what causes",
    r"what is the distance (?:from|between)": "how far is from",
    r"how far is it": "how far is",
    r"what is meant by": "what is",
    r"define(?= [\w-]+(?: [\w-]+)?\W*$)": "what is",
    r"is there (?:a|any|some) place (?:where (?:i|one|we|you) can|to)": "where can i",
    r"what does the (?:term|word)": "what does",
    r"(?:have|has|need|needs) to": "must",
    r"(?:am i|are we|is one) allowed to": "can i",
    r"what (?:does|will|would) it cost": "how much is it",
    r"how much (?:does|will|would) it cost": "how much is it",
    r"what is the (?:price|cost) of": "how much is",
    r"(?:how big|how large) is the population": "what is the population",
    r"which (?:person|artist|author|writer|actor|scientist)": "who",
    r"free of charge": "free",
    r"how come": "why",
    r"switch(?= (?:[\w']+ ){0,3}(?:on|off)\b)": "turn",
    r"(?:fail|fails|failed|failing|refuse|refuses|refused|refusing|forget|forgets|forgot|neglect|neglects"
    r"|neglected|decline|declines|declined|omit|omits|omitted) to": "not",
    r"(?:keep|keeps|kept|keeping|stop|stops|stopped|stopping|prevent|prevents|prevented|preventing)"
    r"(?= (?:[\w']+ ){0,4}from\b)": "not keep",
    r"(?:am|is|are) unable to": "can not",
    r"what will happen(?= if| when)": "what happens",
    r"how high": "how tall",
    r"(?:am|is|are)((?: [\w']+){0,3}) going to(?= [a-z])": r"will\1",
    r"the (?:abbreviation|acronym) (?=[a-z])": "",
    r"do(?=\s*[?.!]*\s*$)": "perform",
    r"what (?:is|are) the (?:best |easiest |right |correct )?(?:way|method)s? (?:to|of|for)": "how to",
    r"how (?:do|can|should|would|could|might) (?:i|we|you|one|people|someone)": "how to",
    r"(?:located|situated)": "",
    r"who (?:is|was) the (?:author|writer) of": "who write",
    r"(?:in|at) (?:what|which) (?:place|location)": "where",
    r"(?:what|which) person": "who",
    r"what number of": "how many",
    r"what amount of": "how much",
    r"united states of america|united states|u\.s\.a?\.?": "usa",
    r"united kingdom|great britain|u\.k\.": "uk",
}

PHRASES: Final = tuple((re.compile(rf"\b(?:{phrase})(?!\w)"), form) for phrase, form in _PHRASES.items())

POLITENESS: Final = re.compile(
    r"\b(?:(?:hi|hello|hey|thanks|thank you|please|kindly)\b[,!. ]*"
    r"|(?:can|could|would|will) (?:you|anyone|someone) (?:please )?(?:tell|explain to|help|show|give) me\b"
    r"|(?:can|could|would) (?:you|anyone) (?:please )?explain (?:to me )?(?=wh|how)"
    r"|(?:can|could|would) (?:you|anyone) (?:please )?(?=explain|describe|list|define|translate|summari[sz]e)"
    r"|(?:i (?:want|need|wish|would like) to know|i am wondering|i wonder|do you know|tell me|let me know)\b)"
)
