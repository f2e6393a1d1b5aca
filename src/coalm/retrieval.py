"""Few tools out of thousands: those that a request needs, so that a prompt can list them.

    retriever = Retriever(tools)
    retriever.search("Find a hotel in Rome, and then book a taxi to it.", 10)
    choose = choose_tools(retriever, 10)       # an agent's hook: (turns, tools) -> tools

A request often wants several things, and one of them may have all the rare words. So a text is cut into its
clauses; every clause ranks the tools by BM25 over names, descriptions and parameters, with a share of the whole
text's score; and the rankings are merged greedily, clauses at nearly one level whatever their length, a clause
counting for less each time that it was served.
With embeddings, the two rankings of a clause are fused by reciprocal rank first (Cormack et al., 2009).
Nothing is learned; the same tools and text give the same answer. `benchmarks/retrieval.py` measures it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from coalm.dialogue import Tool, Turn

if TYPE_CHECKING:
    from numpy.typing import NDArray

Embed = Callable[[Sequence[str]], Any]
"""Texts to vectors, one row each; lengths do not matter, directions are compared."""

# Chosen on Seal-Tools' development queries; the figures move little around them.
_SATURATION, _LENGTH = 2.0, 0.6  # BM25's k1 and b
_WEIGHTS = {"name": 2, "description": 2, "parameter": 1, "parameter description": 1}
_WHOLE = 0.15  # share of the whole text's score in each clause's
_LEVEL = 0.75  # how far clauses are brought to one level: 0 leaves the long ones ahead, 1 makes all equal
_SERVED = 0.8  # what a clause counts for, each time that it was served
_HISTORY = 0.5  # what earlier turns count for, each further turn back
_TURNS_BACK = 2

_RANK = 60  # reciprocal rank fusion's constant
_POOL = 100  # tools of each ranking that are fused

_RELATIVES = 3  # known words that stand in for an unknown one

_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+|(?<=[。！？；])")
_CLAUSE = re.compile(
    r",\s+(?:and\s+)?(?:then|after that|finally|lastly|also)\b"
    r"|\s+and\s+(?:then|also|finally)\b|\s+(?:after that|as well as|followed by|along with)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # Japanese, Chinese, Korean

_ENDINGS = (  # a longer one before those that it ends with
    *("izations", "ization", "ational", "ations", "ation", "ments", "ment", "ities", "ity", "ical", "ings"),
    *("ing", "ances", "ance", "ences", "ence", "ers", "er", "ors", "or", "ions", "ion", "ies", "ied", "ed"),
    *("es", "ly", "als", "al", "ive", "e", "y", "s"),
)
_COMMON = """
a an and are as at be but by for from had has have how i if in into is it its me my no not of on or our
please so such that the their then there these they this to was we were will with would you your can could
need want like also help let us first firstly second secondly third next after before finally lastly
additionally furthermore moreover once do does what which who should using use used given specific s e g etc
"""
_STOP = frozenset(_COMMON.split())


class Retriever:
    """A search over tools, by words and, where `embed` is given, by meaning.

    The index is built once; searching changes nothing, so threads may share a retriever.
    """

    def __init__(self, tools: Iterable[Tool], *, embed: Embed | None = None) -> None:
        self.tools: tuple[Tool, ...] = tuple(tools)
        self._index = _index_words([_weighted_words(tool) for tool in self.tools])
        known: Mapping[str, int] = self._index.vocab_dict if self._index else {}
        self._known = frozenset(known)
        self._relatives: dict[str, list[str]] = defaultdict(list)
        for word in sorted(known):
            self._relatives[_stem(word)].append(word)
        self._embedded: tuple[Embed, NDArray[Any]] | None = None
        if embed is not None and self.tools:
            self._embedded = embed, _directions(embed([describe(tool) for tool in self.tools]))

    def search(self, text: str, count: int) -> list[Tool]:
        """At most `count` tools that have something to do with `text`, the likeliest first."""
        return self.search_weighted([(text, 1.0)], count)

    def search_weighted(self, texts: Sequence[tuple[str, float]], count: int) -> list[Tool]:
        """`search` over several texts, each with what it counts for."""
        if not self.tools or count <= 0:
            return []
        clauses = [(clause, weight) for text, weight in texts for clause in split_clauses(text)]
        if not clauses:
            return []
        by_words = self._score_words([clause for clause, _ in clauses])
        rankings = [_best(scores, max(count, _POOL if self._embedded else 0)) for scores in by_words]
        if self._embedded is not None:
            embed, vectors = self._embedded
            nearest = _directions(embed([clause for clause, _ in clauses])) @ vectors.T
            rankings = [_fuse(words, _best(near, _POOL)) for words, near in zip(rankings, nearest, strict=True)]
        places = _merge(rankings, [weight for _, weight in clauses], count)
        return [self.tools[place] for place in places]

    def _score_words(self, clauses: Sequence[str]) -> list[Any]:
        """Each clause's scores of all tools, with a share of the whole text's where it has words of its own."""
        import numpy as np

        words = [self._query_words(clause) for clause in clauses]
        every = list(dict.fromkeys(word for some in words for word in some))
        if not self._index or not every:
            return [np.zeros(len(self.tools), np.float32) for _ in clauses]
        whole = self._index.get_scores(every)
        if len(clauses) == 1:
            return [whole]
        none = np.zeros_like(whole)
        return [self._index.get_scores(some) + _WHOLE * whole if some else none for some in words]

    def _query_words(self, text: str) -> list[str]:
        """Distinct words of a request; one that no tool has is replaced by its relatives (booking: book)."""
        words = split_words(text)
        found: list[str] = []
        for word in [word for word in words if word not in _STOP] or words:
            found += [word] if word in self._known else self._relatives.get(_stem(word), [])[:_RELATIVES]
        return list(dict.fromkeys(found))


def choose_tools(
    retriever: Retriever, count: int
) -> Callable[[Sequence[Turn], Sequence[Tool]], tuple[Tool, ...]]:
    """An agent's hook that lists about `count` tools: those already called, then those found.

    What is looked for is the last user turn and, for less, the words of the two turns before it. Tools that
    were called in the conversation stay listed, and so do tools that the retriever does not know, even where
    they are more than `count`. The order is that of all tools, so that neighbouring prompts look alike.
    """
    known = {tool.name for tool in retriever.tools}

    def choose(turns: Sequence[Turn], tools: Sequence[Tool]) -> tuple[Tool, ...]:
        if len(tools) <= count:
            return tuple(tools)
        kept = {call.name for turn in turns for call in turn.calls}
        kept |= {tool.name for tool in tools if tool.name not in known}
        offered = {tool.name for tool in tools}
        kept &= offered
        # Tools that an agent does not offer (another user's, say) may be found too; look further then.
        wanted = count if known <= offered else len(known)
        for tool in retriever.search_weighted(_recent(turns), wanted):
            if len(kept) >= count:
                break
            if tool.name in offered:
                kept.add(tool.name)
        return tuple(tool for tool in tools if tool.name in kept)

    return choose


def describe(tool: Tool) -> str:
    """What a tool is, as one text for an embedding."""
    name = " ".join(split_words(tool.name))
    parameters = ", ".join(" ".join(split_words(parameter)) for parameter in tool.properties)
    return f"{name}: {tool.description} ({parameters})" if parameters else f"{name}: {tool.description}"


def split_words(text: str) -> list[str]:
    """Words in lower case, plural endings off.

    Names in CamelCase and snake_case are several words; 東京都, unspaced, is 東京 and 京都.
    """
    words: list[str] = []
    for run in _WORD.findall(text):
        if run.isascii():
            words += [_singular(hump.lower()) for hump in _HUMP.findall(run)]
        elif _UNSPACED.search(run) and len(run) > 1:
            words += [run[place : place + 2] for place in range(len(run) - 1)]
        else:
            words.append(run.lower())
    return words


def split_clauses(text: str) -> list[str]:
    """The parts of a request that may each want a tool: sentences, and what follows `and then` and the like."""
    parts = [part for sentence in _SENTENCE.split(text) for part in _CLAUSE.split(sentence)]
    return [part.strip() for part in parts if part.strip()]


def _recent(turns: Sequence[Turn]) -> list[tuple[str, float]]:
    """The words of the last user turn, and of the few said before it, each with what it counts for."""
    said = [turn for turn in turns if turn.role in ("user", "assistant") and turn.text]
    last = max((place for place, turn in enumerate(said) if turn.role == "user"), default=None)
    if last is None:
        return []
    recent = reversed(said[max(0, last - _TURNS_BACK) : last + 1])
    return [(turn.text, _HISTORY**back) for back, turn in enumerate(recent)]


def _weighted_words(tool: Tool) -> list[str]:
    """The words of a tool, those of its weightier fields repeated: BM25F over one index.

    Source: Robertson, Zaragoza and Taylor 2004, section 3 (weights act on counts, before they saturate).
    """
    properties = [schema for schema in tool.properties.values() if isinstance(schema, Mapping)]
    fields = {
        "name": tool.name,
        "description": tool.description,
        "parameter": " ".join(tool.properties),
        "parameter description": " ".join(str(schema.get("description", "")) for schema in properties),
    }
    return [
        word
        for field, text in fields.items()
        for word in split_words(text)
        if word not in _STOP or field == "name"
        for _ in range(_WEIGHTS[field])
    ]


def _index_words(documents: Sequence[list[str]]) -> Any:
    """A BM25 index, or None where there is not one word."""
    if not any(documents):
        return None
    import bm25s

    index = bm25s.BM25(k1=_SATURATION, b=_LENGTH)
    index.index(list(documents), show_progress=False)
    return index


def _best(scores: Any, count: int) -> list[tuple[float, int]]:
    """The highest scores above zero with their places, ties in the order of places."""
    import numpy as np

    count = min(count, len(scores))
    bar = np.partition(scores, -count)[-count]
    places = np.flatnonzero((scores >= bar) & (scores > 0))
    places = places[np.argsort(-scores[places], kind="stable")][:count]
    return [(float(scores[place]), int(place)) for place in places]


def _fuse(*rankings: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Rankings of one clause as one: the sum of 1 / (60 + rank)."""
    fused: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, (_, place) in enumerate(ranking, 1):
            fused[place] += 1 / (_RANK + rank)
    return sorted(((score, place) for place, score in fused.items()), key=lambda one: (-one[0], one[1]))


def _merge(rankings: Sequence[Sequence[tuple[float, int]]], weights: Sequence[float], count: int) -> list[int]:
    """Places from several rankings, the best weighted score first; a ranking that gave one then counts less."""
    tops = [ranking[0][0] if ranking else 1.0 for ranking in rankings]
    weights = [weight / top**_LEVEL for weight, top in zip(weights, tops, strict=True)]
    heads = [0] * len(rankings)
    taken: dict[int, None] = {}
    while len(taken) < count:
        best, chosen = 0.0, -1
        for number, ranking in enumerate(rankings):
            while heads[number] < len(ranking) and ranking[heads[number]][1] in taken:
                heads[number] += 1
            if heads[number] < len(ranking) and weights[number] * ranking[heads[number]][0] > best:
                best, chosen = weights[number] * ranking[heads[number]][0], number
        if chosen < 0:
            break
        taken[rankings[chosen][heads[chosen]][1]] = None
        weights[chosen] *= _SERVED
    return list(taken)


def _directions(vectors: Any) -> Any:
    """Vectors at length one; a zero vector stays zero."""
    import numpy as np

    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and word[-2] not in "sui":
        return word[:-1]
    return word


def _stem(word: str) -> str:
    """What relatives share: the word without its common ending, at least four letters and at most six."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)][:6]
    return word[:6]
