"""What a sentence of a thought claims: that a call comes, or none; that there are results, none, or how many.

English as large models and our own templates write it. A sentence that sets a condition (`before I can call …`)
claims nothing about what comes now.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_COUNT = rf"\d+|{'|'.join(_NUMBERS)}"
_MANY = rf"{_COUNT}|several|some|a few|many|multiple|a number of"
_RESULTS = r"(?:results?|options?|matches|rows?|entries|hits)"
_FINDS = rf"(?:{_RESULTS}|data|restaurants?|hotels?|flights?|movies?|events?|songs?|buses|trains?|cars?)"
_NOT = r"(?:not|n['’]t)"
_FILL = r"(?:(?:a|an|any|new|further|other|more|additional|another|extra|api|function|tool|need for) ){0,3}"


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_DENIES_CALL = _any(
    rf"\b(?:no|without|{_NOT} need|{_NOT} require) {_FILL}(?:call|calls|calling|lookup)\b",
    r"\b(?:can ?not|can['’]t|should not|shouldn['’]t|must not|need not|no need to"
    rf"|(?:do|does) ?{_NOT} (?:have|need) to) (?:yet |now )?(?:be )?(?:call|called|use|invoke|make a call)\b",
)
_ANNOUNCES_CALL = _any(
    r"\b(?:I(?:['’]ll| will| should| must| need to| have to|(?: am|['’]m) going to| can)|let me|so I)"
    r" (?:now |then |next |just |first )?(?:call|use|invoke|run|query|try)\b",
    r"\b(?:is|are) the (?:right|next) (?:function|call)\b",
    r"\bcomes next\b",
    r"\bby calling\b",
)
_CONDITION = _any(
    r"\b(?:before|once|until|till|after|when|if|unless|but|later|already|as soon as|whether|first)\b",
    r"\b(?:cannot|no|not)\b",
    r"n['’]t\b",
)
_SEES_NOTHING = _any(
    rf"\bno (?:matching |such |suitable )?{_FINDS}\b",
    r"\bnothing (?:came back|was found|is available|matche[sd])",
    r"\b(?:came back|returned|result is|list is) (?:an )?empty",
    r"\breturned nothing\b",
    rf"\b(?:could|did|does) ?{_NOT} (?:find|give|return|show|yield) (?:any|a)\b",
    r"\bnone (?:was|were) found\b",
)
_SEES_SOMETHING = _any(
    rf"\b(?:found|returned|came back with|lists|shows) (?:{_MANY})\b",
    rf"\b(?:{_MANY}) (?:\w+ )?{_RESULTS}\b",
    r"\b(?:went through|worked|succeeded|success|successful(?:ly)?)\b",
    r"\b(?:is|was|were|been) (?:\w+ )?(?:booked|bought|completed?|confirmed|created|made|reserved)\b",
)
_COUNTS = _any(
    rf"(?<!another )(?<!all )\b({_COUNT}) (?:matching |available |suitable )?{_RESULTS}\b(?! (?:left|more))"
)
_FAILS = _any(
    r"\b(?:unable|unavailable|unfortunately|fail\w*|error|none|nothing|no|not|cannot)\b", r"n['’o]t\b"
)
_SENTENCE = re.compile(r"[^.!?;\n]+(?:[.!?;](?=\w)[^.!?;\n]*)*[.!?;\n]*")


def sentences(text: str) -> Iterator[re.Match[str]]:
    """The sentences of a text, with their places."""
    return _SENTENCE.finditer(text)


def denies_call(sentence: str) -> bool:
    """`No new call is needed`, `I cannot call ReserveCar yet`."""
    return bool(_DENIES_CALL.search(sentence))


def announces_call(sentence: str) -> bool:
    """`I will call FindBus now`, but not `I can call FindBus once I know the date`."""
    return bool(_ANNOUNCES_CALL.search(sentence)) and not _CONDITION.search(sentence)


def sees_nothing(sentence: str) -> bool:
    """`The search returned no results`."""
    return bool(_SEES_NOTHING.search(sentence))


def sees_something(sentence: str) -> bool:
    """`I found several hotels`, `The booking went through`; nothing with a negation in it."""
    return bool(_SEES_SOMETHING.search(sentence)) and not re.search(
        rf"\bno\b|{_NOT}\b", sentence, re.IGNORECASE
    )


def counted_results(sentence: str) -> int | None:
    """3 of `The call returned three results`."""
    found = _COUNTS.search(sentence)
    if not found:
        return None
    return int(found[1]) if found[1].isdecimal() else _NUMBERS.index(found[1].lower()) + 1


def tells_failure(text: str) -> bool:
    """`I was unable to book it`, `There is no such bus`: any negation."""
    return bool(_FAILS.search(text))


def statements(text: str) -> list[str]:
    """The clauses of a text that do not end in a question mark."""
    return [clause for clause in re.findall(r"[^,.!?]+[,.!?]*", text) if "?" not in clause]
