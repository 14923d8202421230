"""The adding problem: remember two marked numbers of a sequence and give their sum."""

import numpy as np

from keras_lstm_variants.core import checks
from keras_lstm_variants.tasks.baselines import Numbers, number_baselines
from keras_lstm_variants.tasks.task import Split, Task, digest

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
    """The adding task with sequences of `length` steps, drawn from `seed`.

    Raises:
        ValueError: `length` is too small or too large.
    """
    length = LENGTH if length is None else checks.positive_integer("length", length)
    if not MIN_LENGTH <= length <= MAX_LENGTH:
        raise ValueError(
            f"`length` must be a whole number from {MIN_LENGTH} to {MAX_LENGTH:,}. "
            f"Received: length={length}"
        )
    rng = np.random.default_rng(seed)
    train, valid, test = (draw(count, length, rng) for count in SIZES.values())
    baselines = _baselines(train, valid, test)
    return Task(
        name="adding",
        kind="regression",
        metric="mean squared error",
        train=train,
        valid=valid,
        test=test,
        baselines=baselines,
        # For short sequences the linear fit is clearly lower.
        target=min(baselines, key=lambda name: baselines[name]["valid"]),
        sha256=digest((train, valid, test)),
        about=(
            f"Give the sum of the two marked values, each in [0, 1), of {length} steps with two "
            f"features (value, mark). {len(train[0]):,} sequences to train on, "
            f"{len(valid[0]):,} valid, {len(test[0]):,} test."
        ),
    )


def _baselines(train: Split, valid: Split, test: Split) -> dict[str, dict[str, float]]:
    """Mean squared error of the mean of the training targets, and of a linear fit."""
    length = train[0].shape[1]
    # Least squares over all steps at once. It shows how little is to be had without the
    # product value * mark: about 1/6 - 1/(3 length), what the sum of all values tells of
    # the marked ones. For short sequences this is clearly less than the constant.
    lengths = (length,) if length <= MAX_LINEAR_LENGTH else ()
    errors = number_baselines(*(Numbers(*split) for split in (train, valid, test)), lengths)
    return {
        name: {split: error["mean_squared_error"] for split, error in errors[name].items()}
        for name in ("constant", "linear")
        if name in errors
    }
