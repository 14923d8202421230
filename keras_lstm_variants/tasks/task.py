"""What every task hands over: the data, the metric and the baselines to beat."""

import dataclasses
import hashlib
import math
from collections.abc import Iterable

import numpy as np

# Long streams are scored in rows of at most this many steps, 16 rows at a time.
_SCORED_STEPS, _SCORED_ROWS = 2000, 16

# A stream of ids with shape (time,), or a pair (inputs, targets).
Split = np.ndarray | tuple[np.ndarray, np.ndarray]


class TaskError(ValueError):
    """The data of a task cannot be had; the message is one line for the user."""


# eq=False: comparing arrays with == has no single truth value.
@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """One data set in three splits, with the scores of models without recurrent memory.

    Attributes:
        name: "docs_text", "text", "adding" or "digits".
        kind: "next_symbol", "regression" or "classification".
        metric: "bits/char", "mean squared error" or "error %"; lower is always better.
        train, valid, test: for next_symbol one int32 array (time,) of symbol ids; else a pair
            (x, y) with x float32 (N, T, F) and y float32 (N, 1) for regression or int32 (N,)
            for classification.
        baselines: name -> {"valid": score, "test": score}, in the unit of `metric`.
        target: the baseline that a model must beat to have shown a use of memory.
        sha256: hex digest of the three splits, with their order, shape and dtype.
        symbols: next_symbol: the characters of ids 0..len-1; the last is the reserved one.
        classes: classification: the number of classes.
        about: one or two sentences on what it is and how large the splits are.
    """

    name: str
    kind: str
    metric: str
    train: Split = dataclasses.field(repr=False)
    valid: Split = dataclasses.field(repr=False)
    test: Split = dataclasses.field(repr=False)
    baselines: dict[str, dict[str, float]]
    target: str
    sha256: str
    symbols: str = ""
    classes: int = 0
    about: str = ""


def digest(splits: Iterable[Split], symbols: str = "") -> str:
    """SHA-256 (hex) over the splits in the given order, each array with its dtype and shape."""
    total = hashlib.sha256(symbols.encode("utf-8"))
    for split in splits:
        for array in split if isinstance(split, tuple) else (split,):
            # Little-endian bytes, so that every machine gives the same digest.
            array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            total.update(f"|{array.dtype.str}{array.shape}|".encode())
            total.update(array.tobytes())
    return total.hexdigest()


def scored_arrays(task: Task, split: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Inputs, targets and batch size with which a split is scored: real steps only, no padding."""
    data = getattr(task, split)
    if task.kind != "next_symbol":
        return *data, len(data[0])
    groups = math.ceil((len(data) - 1) / (_SCORED_STEPS * _SCORED_ROWS))
    rows = groups * _SCORED_ROWS
    steps = (len(data) - 1) // rows
    return (
        data[: rows * steps].reshape(rows, steps),
        data[1 : rows * steps + 1].reshape(rows, steps),
        _SCORED_ROWS,
    )
