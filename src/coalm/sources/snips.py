"""SNIPS custom intent engines: single utterances with an intent and its slots, as dialogue states.

Origin: sonos/nlu-benchmark, folder 2017-06-custom-intent-engines; CC0. A file for each intent:

    {"PlayMusic": [{"data": [{"text": "play some "}, {"text": "jazz", "entity": "genre"}]}]}

What has to be known about it:
- The training set is `train_<Intent>_full.json` (13,784 utterances); the small files beside them repeat some.
- One file is not valid UTF-8: a character beyond the basic plane stands there as two surrogates (CESU-8).
- In 61 utterances a slot comes twice; its distinct values are then joined by a comma, in spoken order.
- White space is uneven; runs of it become one space, in utterances and values alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from coalm.dialogue import Dialogue, Domain, Slot, Turn
from coalm.errors import DataError, did_you_mean
from coalm.files import Tree, open_tree

NAMES = ("snips", "2017-06-custom-intent-engines", "nlu-benchmark", "nlu-benchmark-master")
HINT = (
    "get it from https://github.com/sonos/nlu-benchmark (folder 2017-06-custom-intent-engines) and put it in "
    "the corpora folder as snips/ or snips.zip"
)
FILES = {"train": "train_*_full.json", "validation": "validate_*.json"}

# Intents and slots in the order in which the paper lists them (Figure 4, which leaves out AddToPlaylist's).
SLOTS = {
    "GetWeather": "condition_temperature geographic_poi current_location timeRange condition_description state"
    " country city spatial_relation",
    "AddToPlaylist": "music_item playlist_owner entity_name playlist artist",
    "SearchScreeningEvent": "movie_name location_name timeRange object_type movie_type object_location_type"
    " spatial_relation",
    "BookRestaurant": "poi restaurant_type served_dish timeRange party_size_number restaurant_name state"
    " country party_size_description sort city spatial_relation cuisine facility",
    "SearchCreativeWork": "object_type object_name",
    "RateBook": "rating_value rating_unit object_type object_select object_part_of_series_type best_rating"
    " object_name",
    "PlayMusic": "track playlist service genre year album music_item sort artist",
}


def load(root: Path, split: str = "train") -> Iterator[Dialogue]:
    """Yield each utterance of a split (`train`, `validation`) as a dialogue of one user turn with its state.

    Raises:
        DataError: the corpus or one of its files is missing, or a file is broken.
    """
    tree, files = find(root, split)
    utterances = {intent: _read_utterances(tree, name, intent) for intent, name in files.items()}
    domains = tuple(_domain(intent, rows) for intent, rows in utterances.items())
    for intent, rows in utterances.items():
        where = tree.where(files[intent])
        for number, row in enumerate(rows, 1):
            yield _to_dialogue(row, intent, domains, f"{split}/{intent}/{number}", f"{where}#{number}")


def find(root: Path, split: str = "train") -> tuple[Tree, dict[str, str]]:
    """Where the corpus lies, and the file of each intent, in the paper's order.

    A corpus in the same format with intents of its own is taken as it is.

    Raises:
        DataError: no such corpus, an unknown split, or some of SNIPS' own intents are there and some are not.
    """
    if split not in FILES:
        raise DataError(f"SNIPS has no split `{split}`", hint=did_you_mean(split, FILES))
    tree = open_tree(root, NAMES, holding=FILES[split], hint=HINT)
    files = {_intent_of(name, split): name for name in reversed(tree.glob(FILES[split]))}
    missing = [intent for intent in SLOTS if intent not in files]
    if missing and len(missing) < len(SLOTS):
        name = FILES[split].replace("*", missing[0])
        raise DataError(f"the file `{missing[0]}/{name}` is missing", where=tree.path, hint=HINT)
    order = [*SLOTS, *sorted(set(files) - set(SLOTS))]
    return tree, {intent: files[intent] for intent in order if intent in files}


def decode(raw: bytes) -> str:
    """UTF-8 in which characters beyond the basic plane may stand as two surrogates (CESU-8).

    Raises:
        UnicodeDecodeError: the bytes are neither.
    """
    return raw.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _intent_of(name: str, split: str) -> str:
    before, after = FILES[split].split("*")
    return PurePosixPath(name).name.removeprefix(before).removesuffix(after)


def _read_utterances(tree: Tree, name: str, intent: str) -> list[Any]:
    where = tree.where(name)
    try:
        content = json.loads(decode(tree.read_bytes(name)))
    except json.JSONDecodeError as error:
        raise DataError(f"not valid JSON: {error.msg}", where=f"{where}:{error.lineno}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"neither UTF-8 nor CESU-8: {error}", where=where) from None
    if not isinstance(content, dict) or not isinstance(content.get(intent), list):
        raise DataError(f'expected {{"{intent}": [{{"data": […]}}, …]}}', where=where)
    rows: list[Any] = content[intent]
    return rows


def _domain(intent: str, rows: Iterable[Any]) -> Domain:
    """The intent with all slots that occur: the paper's order first, then those that it does not know."""
    known = SLOTS.get(intent, "").split()
    found = {piece["entity"]: None for row in rows for piece in _pieces(row) if "entity" in piece}
    names = [name for name in known if name in found] + [name for name in found if name not in known]
    return Domain(intent, tuple(Slot(name) for name in names))


def _to_dialogue(row: Any, intent: str, domains: tuple[Domain, ...], id: str, origin: str) -> Dialogue:
    try:
        text = _squeeze("".join(piece["text"] for piece in row["data"]))
        state = {intent: _slot_values(row["data"])}
    except (KeyError, TypeError, AttributeError):
        raise DataError('expected {"data": [{"text": …, "entity": …}, …]}', where=origin) from None
    turn = Turn("user", text, intents=(intent,), state=state)
    return Dialogue(id, "snips", (turn,), domains=domains, services=(intent,), origin=origin)


def _slot_values(pieces: Sequence[Mapping[str, str]]) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for piece in pieces:
        if "entity" in piece:
            value, seen = _squeeze(piece["text"]), values.setdefault(piece["entity"], [])
            if value not in seen:
                seen.append(value)
    return {slot: ", ".join(seen) for slot, seen in values.items()}


def _pieces(row: Any) -> Sequence[Mapping[str, str]]:
    pieces = row.get("data") if isinstance(row, dict) else None
    return [piece for piece in pieces if isinstance(piece, dict)] if isinstance(pieces, list) else []


def _squeeze(text: str) -> str:
    return " ".join(text.split())
