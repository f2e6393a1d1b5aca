"""A key-value cache whose rows come and go without the others being touched.

row of the store   column 0 1 2 3 4 5 …            every row begins at column 0: column = position
  0                       p p p p a a
  1                       p p a                    its columns behind are masked, and written over later
  2                       (free)

A row that leaves is replaced by the last one, so that running rows are always the first ones and a forward pass
sees them as a view. What two prompts begin with is copied from one row to another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

WIDTH_STEP = 256


class Window(NamedTuple):
    """Where a forward pass writes: rows from `first` on, `columns` (rows, tokens); it sees `width`."""

    first: int
    columns: Tensor
    width: int
    start: int | None
    """The column where all rows begin, when they write the same ones."""


class Kept(NamedTuple):
    """Tokens and, layer by layer, their keys and values of shape (heads, tokens, size)."""

    tokens: tuple[int, ...]
    layers: list[tuple[Tensor, Tensor]]


class _SlotLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers has no types
    """The store of one layer: keys and values of shape (rows, heads, columns, size)."""

    def __init__(self, owner: SlotCache) -> None:
        super().__init__()
        self._owner = owner

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        rows, columns = self._owner.room
        self.keys = _room(key_states, rows, columns)
        self.values = _room(value_states, rows, columns)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        window = self._owner.window
        rows = slice(window.first, window.first + key_states.shape[0])
        keys, values = self.keys[rows], self.values[rows]
        if window.start is not None:
            columns = slice(window.start, window.start + key_states.shape[2])
            keys[:, :, columns] = key_states
            values[:, :, columns] = value_states
        else:
            places = torch.arange(key_states.shape[0], device=key_states.device)
            keys[places, :, window.columns[:, 0]] = key_states[:, :, 0]
            values[places, :, window.columns[:, 0]] = value_states[:, :, 0]
        return keys[:, :, : window.width], values[:, :, : window.width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._owner.window.width, 0

    def get_seq_length(self) -> int:
        return self._owner.window.width

    def get_max_length(self) -> int:
        return -1


class SlotCache(Cache):  # type: ignore[misc]  # as above
    """The stores of all layers. Before each forward pass, `window` says what it reads and writes."""

    def __init__(self, layers: int) -> None:
        super().__init__(layers=[_SlotLayer(self) for _ in range(layers)])
        self.room = (0, 0)
        self.window = Window(0, torch.empty(0), 0, None)

    def fit(self, rows: int, columns: int) -> None:
        """Have room for so many rows and columns; what stands in these stays, what is beyond may go.

        Rows grow by doubling and take only the columns in use with them, and the other way round: one long
        request in the past does not make many short ones wide.
        """
        had_rows, had_columns = self.room
        if rows <= had_rows and columns <= had_columns:
            return
        rounded = -(-columns // WIDTH_STEP) * WIDTH_STEP
        self.room = (max(rows, 2 * had_rows) if rows > had_rows else rows, rounded)
        for layer in self.layers:
            if layer.is_initialized:
                layer.keys, layer.values = _moved(layer.keys, self.room), _moved(layer.values, self.room)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first columns of a row to another one."""
        for layer in self.layers:
            layer.keys[target, :, :length] = layer.keys[source, :, :length]
            layer.values[target, :, :length] = layer.values[source, :, :length]

    def keep(self, row: int, tokens: tuple[int, ...]) -> Kept:
        """A copy of what a row holds of `tokens`, which it begins with."""
        length = len(tokens)
        held = [(one.keys[row, :, :length].clone(), one.values[row, :, :length].clone()) for one in self.layers]
        return Kept(tokens, held)

    def put(self, kept: Kept, row: int, length: int) -> None:
        """Begin a row with the first tokens of what was kept."""
        for layer, (keys, values) in zip(self.layers, kept.layers, strict=True):
            layer.keys[row, :, :length] = keys[:, :length]
            layer.values[row, :, :length] = values[:, :length]


def _room(states: Tensor, rows: int, columns: int) -> Tensor:
    # Zeros: what is masked is multiplied by 0, and must not be infinite.
    return states.new_zeros((rows, states.shape[1], columns, states.shape[3]))


def _moved(store: Tensor, room: tuple[int, int]) -> Tensor:
    moved = _room(store, *room)
    rows, columns = min(room[0], store.shape[0]), min(room[1], store.shape[2])
    moved[:rows, :, :columns] = store[:rows, :, :columns]
    return moved
