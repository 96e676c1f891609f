"""Closed tables of English that the verifier reads with: what words count as, and what they exclude.

Data only. Words are lower case, and stems where `reading.stem` would make one.
"""

import re
from collections.abc import Mapping
from typing import Final


def table(text: str) -> dict[str, str]:
    """Lines of "canonical: word word ..." as word -> canonical, the canonical included."""
    table: dict[str, str] = {}
    for line in text.strip().splitlines():
        canonical, _, words = line.partition(":")
        for word in (canonical, *words.split()):
            table[word.strip()] = canonical.strip()
    return table


def listed(text: str) -> list[str]:
    """Split at white space."""
    return text.split()


FUNCTION_WORDS: Final = frozenset(
    listed(
        """
    a an the this that these those there here it its i me my mine we us our you your yours he him
    his she her they them their one ones is are am be been being was were do does did have has had
    having will would shall should can could may might must ought to of in on at by for from with as
    into onto about under and or but if then than so such what which who whom whose when where why
    how not no nor n t s also too very really actually exactly currently nowadays now just please
    kindly some any off ever yet still quite rather simply basically anyone someone
    """
    )
)

YES_NO: Final = frozenset(
    listed(
        """
        is are am was were do does did has have had can could will would should shall may might must
        """
    )
)

NUMBER_WORDS: Final[Mapping[str, int]] = {
    word: value
    for value, word in enumerate(
        listed(
            """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen
    """
        )
    )
} | dict(
    zip(
        listed(
            """
    twenty thirty forty fifty sixty seventy eighty ninety
    """
        ),
        range(20, 100, 10),
        strict=True,
    )
)
MULTIPLIERS: Final[Mapping[str, int]] = {
    "dozen": 12, "hundred": 100, "thousand": 1_000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
}  # fmt: skip
ORDINALS: Final[Mapping[str, str]] = {
    word: f"#{value}"
    for value, word in enumerate(
        listed(
            """
    first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth
    """
        ),
        1,
    )
} | {"half": "1/2", "quarter": "1/4", "twice": "x2", "double": "x2", "triple": "x3", "thrice": "x3"}

UNITS: Final = table(
    """
    km: kilometer kilometre kms kilometers kilometres
    m: meter metre meters metres
    cm: centimeter centimetre centimeters centimetres
    mm: millimeter millimetre millimeters millimetres
    mile: miles mi
    foot: feet ft
    inch: inches
    yard: yards
    kg: kilogram kilo kilograms kilos kgs
    gram: grams g
    mg: milligram milligrams
    pound: pounds lb lbs
    ounce: ounces oz
    ton: tons tonne tonnes
    liter: litre liters litres l
    ml: milliliter millilitre milliliters millilitres
    gallon: gallons
    cup: cups
    tablespoon: tablespoons tbsp
    teaspoon: teaspoons tsp
    celsius: centigrade °c
    fahrenheit: °f
    kelvin:
    second: seconds sec secs
    minute: minutes min mins
    hour: hours hr hrs
    day: days
    week: weeks
    month: months
    year: years yr yrs
    decade: decades
    century: centuries
    kb: kilobyte kilobytes
    mb: megabyte megabytes
    gb: gigabyte gigabytes
    tb: terabyte terabytes
    byte: bytes
    bit: bits
    kbit: kilobit kilobits
    mbit: megabit megabits
    gbit: gigabit gigabits
    tbit: terabit terabits
    percent: % percentage
    dollar: dollars usd $ bucks
    euro: euros eur €
    gbp: £
    rupee: rupees inr ₹ rs
    yen: jpy ¥
    watt: watts w
    kw: kilowatt kilowatts
    volt: volts
    acre: acres
    hectare: hectares
    knot: knots
    mph:
    kph: kmh
    """
)

DATES: Final = table(
    """
    january: jan
    february: feb
    april: apr
    june: jun
    july: jul
    august: aug
    september: sep sept
    october: oct
    november: nov
    december: dec
    monday: mondays
    tuesday: tuesdays
    wednesday: wednesdays
    thursday: thursdays
    friday: fridays
    saturday: saturdays
    sunday: sundays
    today:
    tomorrow:
    yesterday:
    tonight:
    morning: mornings
    afternoon:
    evening:
    night: nights
    midnight:
    noon:
    spring:
    summer:
    autumn:
    winter:
    christmas:
    easter:
    """
)
CAPITALISED_DATES: Final = frozenset({"march", "may"})  # months only when written so, inside a sentence

NEGATIONS: Final = frozenset(
    listed(
        """
    not no never without none neither nor cannot nobody nothing nowhere hardly lack lacking avoid
    """
    )
)

PERSONS: Final = table(
    """
    me: i my mine we us our ours myself
    you: your yours yourself
    he: him his himself
    she: her hers herself
    they: them their theirs themselves
    """
)
CASES: Final = (("i", "me"), ("he", "him"), ("she", "her"), ("they", "them"), ("we", "us"))
PRONOUNS: Final = frozenset(word for pair in CASES for word in pair)
LINKS: Final = frozenset(listed("in on at by for from with to into as about and or but if then than so of"))
MODALS: Final = table(
    """
    can: could able may
    should: ought
    must: need
    might:
    would:
    """
)

FIRM_LINKS: Final = LINKS - {"at", "on", "in", "the"}  # those without which a sentence says something else
_PREPOSITIONS = listed("against without during between among behind beside inside near under over")
_PARTICLES = listed("do does off up out down")
EXCHANGEABLE: Final = LINKS | MODALS.keys() | frozenset(_PREPOSITIONS) | frozenset(_PARTICLES)

SCOPES: Final = tuple(
    (re.compile(rf"\b(?:{phrase})\b"), name)
    for phrase, name in {
        r"only|solely|exclusively": "only",
        r"except|excluding|other than|apart from|besides|but not": "except",
        r"at least|no less than|minimum of": "at least",
        r"at most|no more than|up to|maximum of": "at most",
        r"more than|greater than|exceeding": "more than",
        r"less than|fewer than": "less than",
        r"before|prior to|until": "before",
        r"after|following": "after",
        r"per|each|every": "each",
        r"all|entire|whole": "all",
        r"others?(?! than)|remaining|(?<=the )rest": "other",
    }.items()
)

# No two of these stand for each other: one more, one less or another one is another question.
KINDS: Final = frozenset(
    listed(
        """
    red blue green yellow black white orange purple pink brown grey gray python java javascript
    typescript rust golang ruby php perl swift kotlin scala haskell c++ c# r matlab sql bash lua
    windows linux macos mac ubuntu debian android ios mysql postgresql postgres sqlite mongodb redis
    oracle mariadb cassandra json xml csv yaml pdf html docx xlsx toml markdown aws azure gcp iphone
    samsung nokia mercury venus earth mars jupiter saturn uranus neptune pluto moon sun dog cat
    horse cow bird fish snake rabbit mouse pig sheep chicken breakfast lunch dinner football soccer
    basketball tennis baseball cricket hockey golf rugby oxygen hydrogen nitrogen helium carbon iron
    gold silver copper lead zinc aluminium aluminum sodium france germany italy spain england uk usa
    canada mexico brazil india china japan russia australia poland austria sweden norway denmark
    finland portugal greece turkey egypt iran iraq israel pakistan korea vietnam thailand indonesia
    switzerland belgium netherlands ireland scotland wales argentina chile peru nigeria kenya paris
    london berlin rome madrid tokyo beijing moscow delhi mumbai sydney chicago boston toronto dubai
    amsterdam vienna lisbon facebook google twitter instagram whatsapp youtube amazon microsoft
    apple netflix uber quora linkedin gmail yahoo piano guitar violin drums flute docker kubernetes
    terraform ansible tea coffee beer wine milk water juice physics chemistry biology mathematics
    history geography europe africa asia
    """
    )
)

COUNTRY_OF: Final = table(
    """
    france: french
    germany: german
    italy: italian
    spain: spanish
    england: english
    uk: british britain
    usa: american america us
    canada: canadian
    mexico: mexican
    brazil: brazilian
    india: indian
    china: chinese
    japan: japanese
    russia: russian
    australia: australian
    poland: polish
    austria: austrian
    sweden: swedish
    norway: norwegian
    denmark: danish
    finland: finnish
    portugal: portuguese
    greece: greek
    turkey: turkish
    egypt: egyptian
    korea: korean
    netherlands: dutch
    switzerland: swiss
    pakistan: pakistani
    ireland: irish
    europe: european
    africa: african
    asia: asian
    belgium: belgian
    vietnam: vietnamese
    thailand: thai
    """
)
