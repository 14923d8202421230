"""Scores that need no recurrent memory: the floors a recurrent model has to beat."""

from __future__ import annotations

import numpy as np

ORDER = 4  # characters of context of the "order-4" floor


class WittenBell:
    """Character model that interpolates all context lengths from `order` down to none.

    With n(c, s) the count of symbol s after context c, n(c) its sum over s, and T(c) the number
    of different symbols seen after c (c' is c without its oldest symbol):

        P(s | c) = (n(c, s) + T(c) P(s | c')) / (n(c) + T(c))

    The empty context falls back on the uniform distribution over all `size` symbols, so no
    symbol has probability 0. A context never seen in training uses P(s | c') as it is.
    """

    def __init__(self, stream: np.ndarray, size: int, order: int):
        """Count `stream` with contexts of 0 to `order` symbols.

        The ids (time,) lie in 0..size-1, and there are more than `order` of them.
        """
        self.size = size
        self._levels = []
        for k in range(order + 1):
            pairs, pair_counts = np.unique(self._codes(stream, k), return_counts=True)
            # `pairs` is sorted, so all pairs of one context lie side by side.
            contexts, first, types = np.unique(pairs // size, return_index=True, return_counts=True)
            counts = np.add.reduceat(pair_counts, first)
            self._levels.append((pairs, pair_counts, contexts, counts, types))

    def _codes(self, stream: np.ndarray, k: int) -> np.ndarray:
        """One integer for each symbol from index k on together with the k symbols before it."""
        codes = np.zeros(max(len(stream) - k, 0), dtype=np.int64)
        for j in range(k + 1):
            codes = codes * self.size + stream[j : j + len(codes)]
        return codes

    def probabilities(self, stream: np.ndarray) -> np.ndarray:
        """Probability (time,) of each symbol of `stream` given up to `order` symbols before it."""
        p = np.full(len(stream), 1.0 / self.size)
        for k, (pairs, pair_counts, contexts, counts, types) in enumerate(self._levels):
            codes = self._codes(stream, k)
            (n_pair,) = _find(pairs, codes, pair_counts)
            n, t = _find(contexts, codes // self.size, counts, types)
            shorter = p[k:]  # the first k symbols have no context this long: they keep theirs
            p[k:] = np.where(n > 0, (n_pair + t * shorter) / np.maximum(n + t, 1), shorter)
        return p

    def bits(self, stream: np.ndarray) -> float:
        """Mean of -log2 P in bits per character over `stream[1:]`.

        The first symbol is left out: a model that reads `stream[:-1]` never predicts it.
        """
        return float(-np.log2(self.probabilities(stream)[1:]).mean())


def _find(keys: np.ndarray, wanted: np.ndarray, *columns: np.ndarray) -> list[np.ndarray]:
    """The rows of `columns` at which sorted `keys` equal `wanted`; 0 where no key does."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = keys[at] == wanted
    return [np.where(found, column[at], 0) for column in columns]


def character_floors(
    train: np.ndarray, valid: np.ndarray, test: np.ndarray, size: int
) -> dict[str, dict[str, float]]:
    """Bits per character of two models counted on `train`: no context, and 4 characters."""
    floors = {}
    for name, order in (("memoryless", 0), (f"order-{ORDER}", ORDER)):
        model = WittenBell(train, size, order)
        floors[name] = {"valid": model.bits(valid), "test": model.bits(test)}
    return floors
