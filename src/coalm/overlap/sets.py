"""A test set: what is looked for in training, and the figures of what was found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np

from coalm.overlap.contents import Content, parameters_of, signature
from coalm.overlap.grams import GRAM, Hashes, Vocabulary, hash_grams, words_of

EXAMPLES = 5


@dataclass(slots=True)
class Function:
    """A function of the tests, by its name alone or with its parameters; where training has it."""

    shown: str
    where: str | None = None


class TestSet:
    """What is looked for, and what was found of it."""

    def __init__(self, contents: Sequence[Content], words: Vocabulary) -> None:
        self._items = contents
        self.utterances: dict[str, str | None] = {}  # as words -> where training has it
        self._turns: list[frozenset[str]] = []  # of each item, as words
        self._by_longest: defaultdict[str, list[int]] = defaultdict(list)  # an item's longest turn -> items
        self._whole: dict[int, str] = {}  # item -> the first sample that has all its turns
        ids: list[list[list[int]]] = []
        self.names: dict[str, Function] = {}
        self.signatures: dict[tuple[str, frozenset[str]], Function] = {}
        for content in contents:
            said = [words_of(text) for text in content.said]
            turns = frozenset(" ".join(one) for one in said if one)
            if turns:
                self._by_longest[max(turns, key=len)].append(len(self._turns))
            self._turns.append(turns)
            self.utterances |= dict.fromkeys(turns)
            ids.append([words.learn(one) for one in said])
        for tool in {id(tool): tool for content in contents for tool in content.tools}.values():
            name, parameters = signature(tool.name, parameters_of(tool.parameters))
            self.names.setdefault(name, Function(tool.name))
            self.signatures.setdefault((name, parameters), Function(tool.name))
        self._grams = [_hash(said) for said in ids]
        self.all_grams: Hashes = np.unique(np.concatenate([np.zeros(0, np.uint64), *self._grams]))
        self.where: dict[int, str] = {}  # gram -> the first sample that has it
        self.found: defaultdict[str, set[int]] = defaultdict(set)  # source -> grams

    def note_items(self, turns: AbstractSet[str], where: str) -> None:
        """Note the items all of whose turns are among these, which are of one sample."""
        for longest in turns & self._by_longest.keys():
            for place in self._by_longest[longest]:
                if place not in self._whole and self._turns[place] <= turns:
                    self._whole[place] = where

    def describe(self, sources: Sequence[str]) -> dict[str, Any]:
        """The figures, and the items and functions that training has most of."""
        long = [text for text in self.utterances if text.count(" ") >= GRAM - 1]
        shares = [self._share(grams) for grams in self._grams]
        comparable = [share for share in shares if share is not None]
        by_source = {source: sum(self._touches(grams, source) for grams in self._grams) for source in sources}
        return {
            "items": len(self._items),
            "whole_items": _found(self._whole.get(place) for place, turns in enumerate(self._turns) if turns),
            "utterances": _found(self.utterances[text] for text in self.utterances),
            "long_utterances": _found(self.utterances[text] for text in long),
            "grams": {
                **_found(share or None for share in comparable),
                "covered_percent": _percent(sum(comparable), len(comparable)),
                "items_by_source": {source: count for source, count in by_source.items() if count},
            },
            "functions": {
                "names": _found(one.where for one in self.names.values()),
                "signatures": _found(one.where for one in self.signatures.values()),
            },
            "worst": self._worst(shares),
            "shared_items": [
                {"item": self._items[place].id, "training": self._whole[place]} for place in sorted(self._whole)
            ][:EXAMPLES],
            "shared_functions": [
                {"function": one.shown, "training": one.where} for one in self.names.values() if one.where
            ][:EXAMPLES],
        }

    def _share(self, grams: Hashes) -> float | None:
        """Which share of an item's grams training has; None without any."""
        return sum(gram in self.where for gram in grams.tolist()) / len(grams) if len(grams) else None

    def _touches(self, grams: Hashes, source: str) -> bool:
        found = self.found[source]
        return any(gram in found for gram in grams.tolist()) if found else False

    def _worst(self, shares: Sequence[float | None]) -> list[dict[str, Any]]:
        """The items with the largest shares, each with its longest run of words that training has too."""
        order = sorted((-share, place) for place, share in enumerate(shares) if share)
        return [self._example(place, -share) for share, place in order[:EXAMPLES]]

    def _example(self, place: int, share: float) -> dict[str, Any]:
        item, grams = self._items[place], iter(self._grams[place].tolist())
        best: list[str] = []
        training = ""
        for text in item.said:
            words = words_of(text)
            run: list[str] = []
            for start in range(len(words) - GRAM + 1):
                gram = next(grams)
                run = [*run, words[start + GRAM - 1]] if run else words[start : start + GRAM]
                run = run if gram in self.where else []
                if len(run) > len(best):
                    best, training = run, self.where[gram]
        return {
            "item": item.id,
            "covered_percent": round(100 * share, 1),
            "words": " ".join(best),
            "training": training,
        }


def _hash(said: Sequence[Sequence[int]]) -> Hashes:
    """All grams of an item, turn after turn; none reaches over two turns."""
    return hash_grams(np.array([id for turn in said for id in (*turn, 0)], np.int64))[1]


def _found(places: Iterable[object]) -> dict[str, Any]:
    """How many there are, how many of them are not None, and that in percent."""
    listed = list(places)
    found = sum(place is not None for place in listed)
    return {"count": len(listed), "found": found, "percent": _percent(found, len(listed))}


def _percent(part: float, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None
