"""English phrases that stand for one another, and those that say nothing. Data only; lower case.

Each phrase is brought into one form before anything is compared.
"""

import re
from collections.abc import Mapping
from typing import Final

from meshgate_cache.semantic.rewriting import rewritings

_PHRASES: Final[Mapping[str, str]] = {
    r"capital city": "capital",
    r"((?:what|how|why|where|when|who)(?: (?:is|are|do|does|can))?) exactly": r"\1",
    r"((?:what|how|where|when|who)\b[^0-9]*) exactly(?=\s*[?.!]*$)": r"\1",
    r" (?:right now|at the moment|currently)(?=\s*[?.!]*$)": "",
    r"in order to": "to",
    r"(why|when) (?:has|have) ((?:[\w']+ ){1,3})been (\w+ed)": r"\1 was \2\3",
    r"what is the (weather|climate) like": r"what is the \1",
    r"the (?:city|country|continent) of(?= (?!origin|birth|residence|the)[a-z])": "",
    r"(?:who|whom) (?:do|can|should|must) (i|we) (contact|ask|talk to|speak to|call)": r"who should \1 \2",
    r"e-?mail address": "email",
    r"(the|your|our|a) shop": r"\1 store",
    r"(?:cell|cellular|mobile) phones?": "mobile",
    r"(what|who|which) (is|are) the current(?= (?!of|in|through)[a-z])": r"\1 \2 the",
    r"(is|are) considered(?: to be)?": r"\1",
    r"(?<!invest )in stock(?=(?: again)?\s*[?.!]*$)": "available",
    r"(returns|refunds) policy": "return policy",
    r"(csv|pdf|json|xml|excel|word|zip) files?": r"\1",
    r"(add|create|open|register|setup) (?:a|an|my) new": r"\1 a",
    r"(minimum \w+) (?:required|needed)(?! to| for)": r"\1",
    r"(?:do|does) ((?:[\w']+ ){1,3})get (\w+ed)": r"is \1\2",
    r"did ((?:[\w']+ ){1,3})get (\w+ed)": r"was \1\2",
    r"(?:obtain|receive|request|order) a copy of": "get a copy of",
    r"(?:what|which) ([\w' -]{2,30}?) (?:do|will) (?:i|we|you) need (to|for)": r"what \1 is required \2",
    r"what happens (?:after|once|when)(?=.* (?:ends?|expires?|is over|runs out)\b)": "what happens if",
    r"what (?:should|can|do|must|could) (?:i|we|one) do (?:if|when|in case)": "what should i do if",
    r"what to do (?:if|when|in case)": "what should i do if",
    r"how (often|long|frequently) (?:do|must) (?:i|we) (?:have|need) to": r"how \1 should i",
    r"what steps (?:do|should|must|can) (?:i|we|you) (?:must )?(?:take|follow|perform) to": "how to",
    r"(?:walk|guide) me through (?:how to|the (?:steps|process|procedure) (?:to|of|for)|the)?": "how to",
    r"(?<!the )(?:steps|instructions) (?:to|for|on how to)": "how to",
    r"where (?:do|can|should) i go to": "where can i",
    r"find out": "find",
    r"money back": "refund",
    r"(?:the )?customer (?:support|service|care)": "support",
    r"reach(?= (?:support|you|someone)\b)": "contact",
    r"(?:promo|promotion|promotional|coupon|discount|voucher) codes?": "coupon",
    r"(?:apply|redeem|enter)(?= (?:a |my |the )?(?:coupon|voucher|gift card))": "use",
    r"(payment|billing|account|personal|bank|card|contact) (?:information|info|data|details)": r"\1 details",
    r"(?:real|actual|live) (?:person|human|agent)|human (?:agent|being)": "human",
    r"minimum order (?:value|amount|size)": "minimum order",
    r"necktie": "tie",
    r"(?:switch|turn)(?:ed|ing)?((?: (?!on\b|off\b)[\w'-]+){0,3}) on\b": r"enable\1",
    r"(?:switch|turn)(?:ed|ing)?((?: (?!on\b|off\b)[\w'-]+){0,3}) off\b": r"disable\1",
    r"(?:sign|log) (?:in ?to|in|on ?to|on)": "login",
    r"(?:sign|log) (?:out of|out|off)": "logout",
    r"(?:place|placing) (?:an|my|the) order": "order",
    r"(orders?|items?|products?) (?:that |which )?(?:i|we) (?:have )?(?:placed|made|bought|ordered)": r"\1",
    r"(?:update|edit)(?= (?:my |the |your |our )?(?:[\w']+ ){0,2}"
    r"(?:address|email|password|billing|payment|profile|details|information|phone|name|card)\b)": "change",
    r"(?<=\bto )book(?= [a-z])|(?<=\bi )book(?= [a-z])|(?<=\bmust )book(?= [a-z])": "reserve",
    r"sign(?:ing)? up": "register",
    r"set(?:ting)? up": "setup",
    r"visa (?:to (?:visit|enter|travel to|go to)|for)": "visa for",
    r"(?:forms?|methods?) of payment|payment options?": "payment methods",
    r"what (?:is|are) the reasons?(?: (?:for|that|why|behind|of))?": "why",
    r"get rid of": "remove",
    r"get in touch with": "contact",
    r"for what reasons?": "why",
    r"what (?:should|can|must|could|do|to) (?:i |one |we |you |people )?(?:(?:have|need) to )?do "
    r"(?:to|in order to)": "how to",
    r"(?:is|are) there (?:a |any |some )?(?:good |easy |best )?ways? (?:to|of|for)": "how to",
    r"what (?:is|are) (?:some |the )?(?:good |best |effective |easy )?ways? (?:to|of|for)": "how to",
    r"what (?:is|are) the (?:steps?|process|procedure|method|shortcut|instructions) (?:to|for|of)": "how to",
    r"what (?:is|are) (?:some |the )?ways (?:to|of|for)": "how to",
    r"how (?:would|could|can|do|does|should) (?:i|we|one) go about": "how to",
    r"(?:is it possible|am i able|are we able|is one able) to": "can i",
    r"what makes": "why",
    r"what is the cause of": "what causes",
    r"what are the causes of": "what causes",
    r"what is the distance between": "how far is between",
    r"what is the distance from": "how far is from",
    r"how far is it": "how far is",
    r"what is meant by": "what is",
    r"define(?= [\w-]+(?: [\w-]+)?\W*$)": "what is",
    r"is there (?:a|any|some) place (?:where (?:i|one|we|you) can|to)": "where can i",
    r"what does the (?:term|word)": "what does",
    r"(?:have|has|need|needs) to": "must",
    r"(?:am i|are we|is one) (?:allowed|permitted) to|is it (?:ok|okay|fine|all right) to": "can i",
    r"what (?:does|will|would) it cost": "how much is it",
    r"how much (?:does|will|would) it cost": "how much is it",
    r"what is the (?:price|cost) of": "how much is",
    r"(?:how big|how large) is the population": "what is the population",
    r"which (?:person|artist|author|writer|actor|scientist)": "who",
    r"free of charge|for free|at no cost": "free",
    r"how come": "why",
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
    r"how (?:do|can|should|would|could|might) (?:i|we|one)": "how to",
    # anybody, where nobody is spoken to or of
    r"how (?:do|can|should|would|could) you(?! (?:feel|work|know|think|learn|remember|get paid|make money)\b)"
    r"(?!.*\b(?:my|me|our|us)\b)": "how to",
    r"(?:located|situated)": "",
    r"who (?:is|was) the (?:author|writer) of": "who wrote",
    r"(?:in|at) (?:what|which) (?:place|location)": "where",
    r"(?:what|which) person": "who",
    r"what number of": "how many",
    r"what amount of": "how much",
    r"united states of america|united states|u\.s\.a?\.?": "usa",
    r"united kingdom|great britain|u\.k\.": "uk",
    r"how (?:i|we|one) (?:can|could|should|may|must|might)": "how to",
    r"(what|where|when|why) (i|we|you) (can|could|should|must|may)": r"\1 \3 \2",
    r"(symbol|formula|price|cost|fee|rate|limit|deadline|capital|cause|reason|abbreviation|recipe|schedule"
    r"|treatment) for": r"\1 of",
}

PHRASES: Final = rewritings(_PHRASES, r"\b", r"(?!\w)")

POLITENESS: Final = re.compile(
    r"\b(?:(?:hi|hello|hey|thanks|thank you|please|kindly)\b[,!. ]*"
    r"|(?:can|could|would|will) (?:you|anyone|someone) (?:please )?(?:tell|explain to|help|show|give) me\b"
    r"|(?:can|could|would) (?:you|anyone) (?:please )?explain (?:to me )?(?=wh|how)"
    r"|(?:can|could|would) (?:you|anyone) (?:please )?(?=explain|describe|list|define|translate|summari[sz]e)"
    r"|i (?:was|am) (?:just )?(?:wondering|curious)|just wondering|quick question:?"
    r"|(?:i (?:want|need|wish|would like) to know|i am wondering|i wonder|do you know|tell me|let me know)\b)"
)
