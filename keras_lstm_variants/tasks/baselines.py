"""Baselines: scores of models without recurrent memory, which a recurrent model has to beat."""

from collections.abc import Callable

import numpy as np

ORDER = 4  # characters of context of the baseline "order-4"

# Of the linear fit: unknowns, the steps or sequences that it is fitted to, and that are
# predicted at a time.
_UNKNOWNS, _FITTED, _AT_ONCE = 600, 50_000, 20_000


class WittenBell:
    """Character model that interpolates all context lengths from `order` down to none.

    With n(c, s) the count of symbol s after context c, n(c) its sum over s, and T(c) the number
    of different symbols seen after c (c' is c without its oldest symbol):

        P(s | c) = (n(c, s) + T(c) P(s | c')) / (n(c) + T(c))

    The empty context falls back on the uniform distribution over all `size` symbols, so no
    symbol has probability 0. A context never seen in training uses P(s | c') as it is.
    """

    def __init__(
        self, stream: np.ndarray, size: int, order: int, real: np.ndarray | None = None
    ) -> None:
        """Count `stream` with contexts of 0 to `order` symbols.

        The ids, one stream (time,) or many (rows, time), lie in 0..size-1, and there are more
        than `order` of them in a row. `real`, of the same shape, is False where there is none.
        """
        self.size = size
        self._levels = []
        for k in range(order + 1):
            codes = self._codes(stream, k)
            if real is not None:
                codes = codes[_all_real(real, k)]
            if not codes.size:
                break
            pairs, pair_counts = np.unique(codes, return_counts=True)
            # `pairs` is sorted, so all pairs of one context lie side by side.
            contexts, first, types = np.unique(pairs // size, return_index=True, return_counts=True)
            counts = np.add.reduceat(pair_counts, first)
            self._levels.append((pairs, pair_counts, contexts, counts, types))

    def _codes(self, stream: np.ndarray, k: int) -> np.ndarray:
        """One integer for each symbol from index k on together with the k symbols before it."""
        left = max(stream.shape[-1] - k, 0)
        codes = np.zeros((*stream.shape[:-1], left), dtype=np.int64)
        for j in range(k + 1):
            codes = codes * self.size + stream[..., j : j + left]
        return codes

    def probabilities(self, stream: np.ndarray, real: np.ndarray | None = None) -> np.ndarray:
        """Probability of each symbol of `stream` given up to `order` real symbols before it."""
        p = np.full(stream.shape, 1.0 / self.size)
        for k, (pairs, pair_counts, contexts, counts, types) in enumerate(self._levels):
            codes = self._codes(stream, k)
            (n_pair,) = _find(pairs, codes, pair_counts)
            n, t = _find(contexts, codes // self.size, counts, types)
            # The first k symbols have no context this long: they keep theirs.
            shorter = p[..., k:]
            known = n > 0 if real is None else (n > 0) & _all_real(real, k)
            p[..., k:] = np.where(known, (n_pair + t * shorter) / np.maximum(n + t, 1), shorter)
        return p

    def bits(self, stream: np.ndarray) -> float:
        """Mean of -log2 P in bits per character over `stream[1:]`.

        The first symbol is left out: a model that reads `stream[:-1]` never predicts it.
        """
        return float(-np.log2(self.probabilities(stream)[1:]).mean())


def _all_real(real: np.ndarray, k: int) -> np.ndarray:
    """Where a symbol from index k on and the k before it are all real."""
    left = max(real.shape[-1] - k, 0)
    return np.all([real[..., j : j + left] for j in range(k + 1)], axis=0)


def _find(keys: np.ndarray, wanted: np.ndarray, *columns: np.ndarray) -> list[np.ndarray]:
    """The rows of `columns` at which sorted `keys` equal `wanted`; 0 where no key does."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    known = keys[at] == wanted
    return [np.where(known, column[at], 0) for column in columns]


def character_baselines(
    train: np.ndarray, valid: np.ndarray, test: np.ndarray, size: int
) -> dict[str, dict[str, float]]:
    """Bits per character of two models counted on `train`: no context, and 4 characters."""
    bits = {}
    for name, order in (("memoryless", 0), (f"order-{ORDER}", ORDER)):
        model = WittenBell(train, size, order)
        bits[name] = {"valid": model.bits(valid), "test": model.bits(test)}
    return bits


class Numbers:
    """Sequences with the numbers that are to be predicted, at their end or at every step.

    Args:
        x: (rows, time, features).
        y: (rows, outputs), or (rows, time, outputs) for a prediction at every step.
        mask: bool (rows, time), False for a step that is not there.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, mask: np.ndarray | None = None) -> None:
        real = np.ones(x.shape[:2], bool) if mask is None else mask
        # The real steps of each row last, in their order.
        order = np.argsort(real, axis=1, kind="stable")[..., None]
        self.real = np.take_along_axis(real, order[..., 0], 1)
        self.x = np.take_along_axis(x, order, 1) if mask is not None else x
        if y.ndim == 3:
            self.rows, self.steps = np.nonzero(self.real)
            ordered = np.take_along_axis(y, order, 1) if mask is not None else y
            self.y = ordered[self.rows, self.steps].astype("float64")
        else:
            self.rows = np.arange(len(x))
            self.steps = np.full(len(x), x.shape[1] - 1)
            self.y = y.astype("float64")

    def window(self, length: int, at: slice) -> np.ndarray:
        """The last `length` steps before each prediction (n, length * features + length).

        Steps that are not there are 0, and told by the last `length` columns.
        """
        rows = self.rows[at, None]
        steps = self.steps[at, None] - np.arange(length)
        there = (steps >= 0) & self.real[rows, steps]
        x = np.where(there[..., None], self.x[rows, steps], 0).astype("float64")
        return np.hstack([x.reshape(len(x), -1), there])


Predictor = Callable[[Numbers, slice], np.ndarray]


def number_baselines(
    train: Numbers, valid: Numbers, test: Numbers, lengths: tuple[int, ...] | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    """Errors of predictors without recurrent memory, fitted to `train`.

    "constant" answers the mean, "last value" one of the numbers of the last step (that which
    errs least on `train`), "linear" a weighted sum of the last steps.

    Args:
        train, valid, test: the splits.
        lengths: numbers of steps that the linear fit may look at; the one that errs least
            on `valid` is taken. None: several, as far as `train` determines the weights.

    Returns:
        baseline -> "valid" and "test" -> "mean_squared_error" and "mean_absolute_error".
    """
    mean = train.y.mean(0)
    last = _last_value(train, mean)
    predictors: dict[str, Predictor] = {
        "constant": lambda data, at: np.broadcast_to(mean, data.y[at].shape),
        "last value": last,
    }
    fits = [_linear(train, n) for n in (_lengths(train) if lengths is None else lengths)]
    if fits:
        predictors["linear"] = min(fits, key=lambda f: _errors(f, valid)["mean_squared_error"])
    splits = {"valid": valid, "test": test}
    return {
        name: {split: _errors(f, data) for split, data in splits.items()}
        for name, f in predictors.items()
    }


def _errors(predict: Predictor, data: Numbers) -> dict[str, float]:
    square = absolute = 0.0
    for begin in range(0, len(data.y), _AT_ONCE):
        at = slice(begin, begin + _AT_ONCE)
        gap = data.y[at] - predict(data, at)
        square, absolute = square + np.sum(gap**2), absolute + np.sum(np.abs(gap))
    count = max(data.y.size, 1)
    return {
        "mean_squared_error": float(square / count),
        "mean_absolute_error": float(absolute / count),
    }


def _last_value(train: Numbers, mean: np.ndarray) -> Predictor:
    def of(data: Numbers, at: slice) -> tuple[np.ndarray, np.ndarray]:
        rows, steps = data.rows[at], data.steps[at]
        return data.x[rows, steps].astype("float64"), data.real[rows, steps]

    everything = slice(None)
    x, real = of(train, everything)
    # Of each output the feature that is nearest to it.
    gaps = [np.mean((train.y[real] - x[real, [k]][:, None]) ** 2, 0) for k in range(x.shape[1])]
    nearest = np.argmin(gaps, 0)

    def predict(data: Numbers, at: slice) -> np.ndarray:
        x, real = of(data, at)
        return np.where(real[:, None], x[:, nearest], mean)

    return predict


def _lengths(train: Numbers) -> list[int]:
    """Numbers of steps whose weights the training split determines."""
    features, steps = train.x.shape[2], train.x.shape[1]
    most = min(steps, _UNKNOWNS // features, len(train.y) // (4 * features))
    return sorted({n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, most) if n <= most})


def _linear(train: Numbers, length: int) -> Predictor:
    """Least squares over the last `length` steps."""
    some = slice(None, None, -(-len(train.y) // _FITTED))
    x, y = train.window(length, some), train.y[some]
    middle, scale, height = x.mean(0), x.std(0), y.mean(0)
    scale[scale <= 1e-7 * np.abs(x).max(0)] = np.inf  # a constant: it weighs nothing
    x = (x - middle) / scale
    # A trace of ridge: columns may depend on each other.
    square = x.T @ x + 1e-8 * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(square, x.T @ (y - height))

    def predict(data: Numbers, at: slice) -> np.ndarray:
        return (data.window(length, at) - middle) / scale @ weights + height

    return predict


def class_baselines(
    train: np.ndarray, valid: np.ndarray, test: np.ndarray, size: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Scores of answers that ignore the input: the commonest class, and the class frequencies.

    Returns:
        baseline -> "valid" and "test" -> "accuracy" or "loss" (cross-entropy).
    """
    counts = np.bincount(train.ravel(), minlength=size)
    # One more of each: no class is impossible.
    loss = -np.log((counts + 1) / (counts.sum() + size))
    splits = {"valid": valid.ravel(), "test": test.ravel()}
    return {
        "commonest class": {
            s: {"accuracy": float(np.mean(y == counts.argmax()))} for s, y in splits.items()
        },
        "class frequencies": {s: {"loss": float(loss[y].mean())} for s, y in splits.items()},
    }
