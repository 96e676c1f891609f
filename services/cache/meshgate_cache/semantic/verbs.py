"""English verbs that ask for the same thing of the same object. Data only; lower case, phrases in one form.

A verb is only read where it is one, after "to", "I", "we", "must" or "can", and with what follows: to raise a
limit is to increase it, to raise a child is not.
"""

import re
from collections.abc import Iterator
from typing import Final

# The form: verbs that stand for it | of these things, none: of any that has an article or an owner.
_VERBS: Final = """
    increase: raise boost | limit price salary score budget rent quota temperature volume rate
    reduce: lower decrease |
    restore: recover retrieve get_back | file data account password document backup photo message username
    change: switch modify | language plan currency bank doctor account theme name setting order booking tariff
    view: see check | status balance invoice bill result statement history usage payslip order receipt
    get: receive obtain |
    write: leave post submit give | review rating feedback comment testimonial
    make: submit file lodge | complaint claim
    reserve: make book schedule arrange get setup | appointment reservation booking consultation
    cancel: end stop quit | subscription membership contract trial plan
    request: ask_for |
    fix: solve resolve | issue problem error bug
    complete: fill_in fill_out | form application questionnaire survey
    connect: link |
    transfer: move | money funds
    withdraw: take_out | money cash
    collect: pick_up | order parcel package
    dispute: contest challenge | charge transaction payment
    take: make | screenshot
    create: open setup register | account profile
    submit: send hand_in turn_in | form application document report
    reschedule: move change | appointment
    return: send_back |
    """
_OWNED: Final = "(?: (?:my|our|the|an?)(?: [\\w'-]+){0,2}?)"


def _patterns() -> Iterator[tuple[str, str]]:
    for line in _VERBS.strip().splitlines():
        form, _, rest = line.partition(":")
        verbs, _, things = rest.partition("|")
        words = "|".join(verbs.split()).replace("_", " ")
        of = f"{_OWNED}? (?:{'|'.join(things.split())})s?\\b" if things.strip() else " (?:my|our|the|an?)\\b"
        yield form.strip(), f"(?:{words})(?={of})"


_FORMS: Final = {f"v{at}": form for at, (form, _) in enumerate(_patterns())}
_VERB: Final = re.compile(
    "\\b(?P<before>to|i|we|must|can) (?:"
    + "|".join(f"(?P<v{at}>{pattern})" for at, (_, pattern) in enumerate(_patterns()))
    + ")"
)


def one_verb(text: str) -> str:
    """`text` with each of these verbs as the one that stands for it."""
    return _VERB.sub(lambda match: f"{match['before']} {_FORMS[match.lastgroup or 'v0']}", text)
