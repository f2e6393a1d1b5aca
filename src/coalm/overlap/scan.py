"""The training samples, once through: what many of them repeat is looked at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from coalm.dialogue import Sample
from coalm.overlap.contents import read_tools, signature, split_sample, split_turns
from coalm.overlap.grams import GRAM, Vocabulary, hash_grams, words_of
from coalm.overlap.sets import TestSet

_SEEN = 2_000_000
"""So many keys of texts are remembered; past that, some texts are looked at twice."""
_AT_ONCE = 500_000
"""Words that are compared together."""


@dataclass(slots=True)
class Scan:
    """Goes through samples and notes in the test sets what it meets."""

    words: Vocabulary
    sets: Mapping[str, TestSet]
    sources: list[str] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)
    _shared: dict[int, str] = field(default_factory=dict)  # key of a turn that a test set has -> its words
    _ids: list[int] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)
    _owners: list[tuple[str, str]] = field(default_factory=list)  # source, dialogue

    def add(self, sample: Sample) -> None:
        if sample.source not in self.sources:
            self.sources.append(sample.source)
        where = f"{sample.source} {sample.dialogue}"
        tools, conversation = split_sample(sample)
        if tools and self._is_new(hash(("tools", tools))):
            self._add_tools(tools, where)
        shared: set[str] = set()
        for text in (conversation, sample.input, sample.output):
            for turn in split_turns(text):
                key = hash((sample.source, turn))
                if self._is_new(key):
                    self._add_turn(turn, key, sample.source, where)
                if key in self._shared:
                    shared.add(self._shared[key])
        for one in self.sets.values():
            one.note_items(shared, where)

    def _is_new(self, key: int) -> bool:
        if key in self._seen:
            return False
        if len(self._seen) >= _SEEN:
            self._seen.clear()
        self._seen.add(key)
        return True

    def _add_tools(self, text: str, where: str) -> None:
        for name, parameters in read_tools(text):
            key = signature(name, parameters)
            for one in self.sets.values():
                for found in (one.names.get(key[0]), one.signatures.get(key)):
                    if found is not None and found.where is None:
                        found.where = where

    def _add_turn(self, text: str, key: int, source: str, where: str) -> None:
        words = words_of(text)
        if not words:
            return
        whole = " ".join(words)
        for one in self.sets.values():
            if whole in one.utterances:
                self._shared[key] = whole
                one.utterances[whole] = one.utterances[whole] or where
        if len(words) < GRAM:
            return
        self._starts.append(len(self._ids))
        self._owners.append((source, where))
        self._ids += self.words.look_up(words)
        self._ids.append(0)
        if len(self._ids) > _AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Compare the grams that are waiting."""
        starts, grams = hash_grams(np.array(self._ids, np.int64))
        begins = np.array(self._starts, np.int64)
        for one in self.sets.values():
            if not len(one.all_grams) or not len(grams):
                continue
            nearest = np.minimum(np.searchsorted(one.all_grams, grams), len(one.all_grams) - 1)
            hits = np.flatnonzero(one.all_grams[nearest] == grams)
            owners = np.searchsorted(begins, starts[hits], side="right") - 1
            for gram, owner in zip(grams[hits].tolist(), owners.tolist(), strict=True):
                source, where = self._owners[owner]
                one.where.setdefault(gram, where)
                one.found[source].add(gram)
        self._ids, self._starts, self._owners = [], [], []
