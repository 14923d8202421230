"""The adding problem: remember two marked numbers of a sequence and give their sum."""

from __future__ import annotations

import numpy as np

from .task import Task, digest, whole_number

LENGTH = 50  # time steps, unless told otherwise
MIN_LENGTH, MAX_LENGTH = 4, 5_000  # 5,000 steps are 400 MB of input
SIZES = {"train": 8_000, "valid": 1_000, "test": 1_000}  # sequences
# The linear fit has 2 * length + 1 unknowns for 8,000 sequences: beyond this length it gains
# less than it loses by fitting noise, and ends up above the constant.
MAX_LINEAR_LENGTH = 100


def draw(count: int, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`count` sequences: x (count, length, 2) of value in [0, 1) and mark, y (count, 1) sum.

    One mark lies in steps 0..length//2-1 and one in the rest.
    """
    x = np.zeros((count, length, 2), dtype=np.float32)
    x[:, :, 0] = rng.random((count, length), dtype=np.float32)
    rows, half = np.arange(count), length // 2
    first = rng.integers(0, half, count)
    second = rng.integers(half, length, count)
    x[rows, first, 1] = 1.0
    x[rows, second, 1] = 1.0
    y = x[rows, first, 0] + x[rows, second, 0]
    return x, y[:, None]


def adding_task(length: int | None = None, seed: int = 0) -> Task:
    """The adding task with sequences of `length` steps, drawn from `seed`."""
    length = LENGTH if length is None else whole_number("length", length, MIN_LENGTH, MAX_LENGTH)
    rng = np.random.default_rng(seed)
    train, valid, test = (draw(count, length, rng) for count in SIZES.values())
    floors = _floors(train, valid, test)
    return Task(
        name="adding",
        kind="regression",
        metric="mean squared error",
        train=train,
        valid=valid,
        test=test,
        floors=floors,
        # For short sequences the linear fit is clearly lower.
        target=min(floors, key=lambda name: floors[name]["valid"]),
        sha256=digest((train, valid, test)),
        about=(
            f"Give the sum of the two marked values, each in [0, 1), of {length} steps with two "
            f"features (value, mark). {len(train[0]):,} sequences to train on, "
            f"{len(valid[0]):,} valid, {len(test[0]):,} test."
        ),
    )


def _floors(train, valid, test) -> dict[str, dict[str, float]]:
    """Mean squared error of the mean of the training targets, and of a linear fit."""
    mean = train[1].mean(dtype=np.float64)
    splits = {"valid": valid, "test": test}
    # Near 1/6, the variance of the sum of two values from U(0, 1).
    floors = {
        "constant": {split: float(np.mean((y - mean) ** 2)) for split, (_, y) in splits.items()}
    }
    if train[0].shape[1] <= MAX_LINEAR_LENGTH:
        # Least squares over all steps at once. It shows how little is to be had without the
        # product value * mark: about 1/6 - 1/(3 length), what the sum of all values tells of
        # the marked ones. For short sequences this is clearly less than the constant.
        weights = np.linalg.lstsq(_flat(train[0]), train[1].astype(np.float64), rcond=None)[0]
        floors["linear"] = {
            split: float(np.mean((_flat(x) @ weights - y) ** 2)) for split, (x, y) in splits.items()
        }
    return floors


def _flat(x: np.ndarray) -> np.ndarray:
    """(N, T, F) as float64 (N, T * F + 1), the last column ones for the intercept."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    return np.hstack([flat, np.ones((len(x), 1))])
