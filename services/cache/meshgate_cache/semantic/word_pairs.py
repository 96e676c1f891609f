"""English words that stand for one another, and words that exclude one another. Data only.

Lower case; `reading.canonical` and `verifier` also look at the stems of what a text has.
"""

from typing import Final

from meshgate_cache.semantic.vocabulary import listed, table

SYNONYMS: Final = table(
    """
    begin: start starting commence
    information: info
    television: tv
    refrigerator: fridge
    administrator: admin
    warranty: guarantee
    colleague: coworker
    buy: purchase acquire
    large: big huge
    reduce: decrease lessen
    small: little tiny
    fast: quick quickly rapidly rapid speedy
    fastest: quickest
    largest: biggest
    repair: fix mend
    mean: meaning definition define
    improve: enhance
    learn: study
    build: construct
    kid: child children
    delete: remove erase
    picture: photo image photograph
    car: automobile
    phone: telephone smartphone
    tire: tyre
    vaccination: vaccine
    enrol: enroll
    cancel: cancell terminate
    travel: travell
    label: labell
    program: programme
    license: licence
    behavior: behaviour
    neighbor: neighbour
    flavor: flavour
    catalog: catalogue
    recognize: recognise
    summarize: summarise
    optimize: optimise
    customize: customise
    analyze: analyse
    delivery: shipping
    product: item
    reserve: booking reservation
    center: centre
    color: colour
    organize: organise
    favorite: favourite
    wifi: wi-fi
    movie: film
    difference: differ distinction different
    benefit: advantage
    drawback: disadvantage
    show: display
    choose: select pick
    near: nearby
    error: mistake
    money: cash
    require: need necessary requirement required needed
    happen: occur
    end: finish
    help: assist
    important: significant
    create: generate make making made
    change: modify alter
    merge: combine
    enable: activate
    disable: deactivate
    talk: speak
    safe: secure
    nearest: closest
    mute: silence
    hard: difficult
    easy: simple
    sick: ill
    rubbish: trash garbage
    holiday: vacation
    doctor: physician
    calculate: compute
    author: writer
    write: wrote written
    invent: inventor inventing
    discover: discoverer
    found: founder founding
    many: number
    renew: extend prolong
    flat: apartment
    sofa: couch
    parcel: package
    luggage: baggage
    lawyer: attorney
    illness: disease sickness
    answer: reply
    notify: inform
    hire: employ
    forbid: prohibit
    verify: confirm
    try: attempt
    locate: find
    faulty: defective broken
    expensive: costly
    wealthy: rich
    incorrect: wrong
    tasty: delicious
    often: frequent frequently
    clever: smart intelligent
    newest: latest
    mandatory: compulsory obligatory
    optional: voluntary
    reject: deny denied
    bill: invoice
    gather: collect
    remain: stay
    tear: rip
    smell: odour odor
    infant: baby
    """
)

_OPPOSITES: Final = listed(
    """
    enable/disable increase/decrease raise/lower rise/fall buy/sell more/less more/fewer most/least
    max/min maximum/minimum highest/lowest largest/smallest biggest/smallest best/worst good/bad
    better/worse longest/shortest tallest/shortest oldest/youngest oldest/newest fastest/slowest
    first/last before/after above/below over/under always/never all/some all/none open/close start/stop
    begin/end add/remove add/delete add/subtract multiply/divide install/uninstall encrypt/decrypt
    encode/decode compress/decompress compress/extract upload/download import/export push/pull
    lock/unlock accept/reject accept/decline allow/deny allow/block allow/prevent include/exclude
    love/hate win/lose pass/fail hot/cold warm/cold cheap/expensive cheapest/expensive early/late
    left/right north/south east/west up/down in/out on/off inside/outside true/false alive/dead
    male/female man/woman boy/girl men/women mother/father brother/sister son/daughter husband/wife
    king/queen boyfriend/girlfriend aunt/uncle gain/lose weight/height send/receive give/take
    borrow/lend deposit/withdraw login/logout connect/disconnect safe/dangerous safe/unsafe
    legal/illegal public/private internal/external input/output input/print horizontal/vertical
    ascending/descending even/odd positive/negative old/new old/young modern/ancient rich/poor
    strong/weak advantage/disadvantage benefit/drawback pro/con arrive/depart arrival/departure
    birth/death born/die create/delete create/destroy build/destroy attack/defend hire/fire
    employer/employee teacher/student doctor/patient plaintiff/defendant landlord/tenant seller/buyer
    parent/child short/long tall/short thin/thick wide/narrow deep/shallow light/dark light/heavy
    dry/wet full/empty fast/slow cause/effect cause/cure cause/prevent cause/symptom sunrise/sunset
    read/write client/server front/back top/bottom single/married prefix/suffix row/column quiet/noisy
    quiet/loud mandatory/optional compulsory/voluntary required/optional entrance/exit entry/exit
    enter/leave rise/drop grow/shrink expand/shrink expand/collapse expand/contract freeze/thaw
    freeze/melt hide/show mount/unmount attach/detach follow/unfollow pin/unpin like/dislike
    agree/disagree appear/disappear approve/reject approve/deny arm/disarm attract/repel
    backward/forward backwards/forwards boil/freeze bold/italic brave/cowardly bright/dark bright/dim
    busy/free calm/nervous clean/dirty clockwise/counterclockwise common/rare complex/simple
    confirm/cancel consume/produce construct/demolish correct/incorrect right/wrong credit/debit
    curable/incurable damage/repair debtor/creditor demand/supply domestic/foreign
    domestic/international domestic/wild dead/living drunk/sober dull/sharp edible/poisonous
    employed/unemployed equal/unequal fail/succeed failure/success famous/unknown far/near fat/thin
    fiction/nonfiction finite/infinite fixed/variable flexible/rigid float/sink forbid/allow
    forbidden/allowed forget/remember fresh/stale fresh/rotten friend/enemy gas/solid general/specific
    generous/mean gentle/rough giant/dwarf guest/host guilty/innocent happy/sad hard/soft hard/easy
    difficult/easy harmful/harmless healthy/sick healthy/unhealthy hero/villain hot/cool humid/dry
    income/expense indoor/outdoor indoors/outdoors inner/outer inhale/exhale insert/delete insert/remove
    junior/senior kind/cruel land/water landlord/renter lender/borrower less/most liquid/solid
    local/remote local/global loose/tight major/minor manual/automatic mature/immature maximise/minimise
    maximize/minimize merge/split mild/spicy mild/severe mute/unmute natural/artificial
    natural/synthetic near/distant nocturnal/diurnal noisy/silent normal/abnormal obey/disobey
    occupied/vacant offline/online optimist/pessimist optimistic/pessimistic organic/synthetic own/rent
    owner/tenant paid/unpaid paid/free parent/offspring past/future pause/resume peace/war
    permanent/temporary plural/singular polite/rude poor/wealthy possible/impossible praise/criticise
    praise/criticize predator/prey presence/absence present/absent profit/loss protect/harm quick/slow
    raise/drop real/fake receive/refuse reckless/careful refundable/nonrefundable regular/irregular
    relax/tense reward/punish reward/penalty rough/smooth safe/risky save/spend save/discard
    seated/standing ship/receive sick/well smooth/bumpy sour/sweet sharp/blunt solvable/unsolvable
    stable/unstable stay/leave strengthen/weaken strict/lenient subscribe/unsubscribe sunny/cloudy
    sunny/rainy superior/inferior supporter/opponent sweet/bitter sweet/salty sync/async
    synchronous/asynchronous tame/wild tighten/loosen toxic/harmless toxic/safe transparent/opaque
    truth/lie unique/common upper/lower upstairs/downstairs upstream/downstream urban/rural
    useful/useless vacant/taken victory/defeat visible/invisible visible/hidden voluntary/forced
    wake/sleep weekday/weekend wet/arid wholesale/retail win/forfeit winner/loser wireless/wired
    with/without younger/older youngest/eldest shorter/longer shorter/taller smaller/larger
    smaller/bigger cheaper/dearer warmer/colder hotter/colder faster/slower higher/lower lighter/heavier
    lighter/darker earlier/later easier/harder richer/poorer stronger/weaker zip/unzip inbound/outbound
    incoming/outgoing gross/net buyer/supplier encrypted/plain active/inactive active/passive
    acute/chronic additive/subtractive adult/child ancestor/descendant bankrupt/solvent bride/groom
    capitalism/socialism civil/military day/night dusk/dawn evening/morning even/uneven
    exterior/interior feminine/masculine frequent/rare hollow/solid host/client inflation/deflation
    initial/final introvert/extrovert leader/follower lead/follow literal/figurative majority/minority
    marry/divorce marriage/divorce mortal/immortal nephew/niece noun/verb offence/defence
    offense/defense offensive/defensive parallel/serial parallel/perpendicular plus/minus
    prime/composite pro/anti qualified/unqualified radical/moderate rational/irrational
    relevant/irrelevant retreat/advance savings/debt secular/religious sell/purchase shrink/stretch
    sibling/parent start/end static/dynamic summer/winter theory/practice trust/distrust
    upgrade/downgrade vegetarian/carnivore next/last next/previous next/past upcoming/past
    upcoming/previous following/previous latest/earliest current/former current/previous current/next
    present/former increase/reduce raise/reduce rise/decrease rise/reduce grow/decrease
    """
)

OPPOSITES: Final = frozenset(
    pair
    for text in _OPPOSITES
    for first, _, second in [text.partition("/")]
    for pair in [(first, second), (second, first)]
)
