"""Handwritten digits of 8 x 8 pixels, read one row of pixels per time step."""

import numpy as np

from keras_lstm_variants.tasks.task import Split, Task, TaskError, digest

CLASSES = 10


def digits_task(seed: int = 0) -> Task:
    """The digits task: scikit-learn's `load_digits`, split 70/15/15 % by `seed`."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise TaskError(
            "task 'digits' needs scikit-learn, which is not installed: pip install scikit-learn"
        ) from None
    data = load_digits()
    x = (data.images / 16.0).astype(np.float32)  # pixels are whole numbers 0..16
    y = data.target.astype(np.int32)
    train, valid, test = ((x[rows], y[rows]) for rows in _split(y, seed))
    return Task(
        name="digits",
        kind="classification",
        metric="error %",
        train=train,
        valid=valid,
        test=test,
        baselines=_baselines(train, valid, test),
        target="logistic regression",
        sha256=digest((train, valid, test)),
        classes=CLASSES,
        about=(
            "Name the handwritten digit from its 8 rows of 8 pixels (0..1), one row per step. "
            f"{len(train[0]):,} images to train on, {len(valid[0]):,} valid, {len(test[0]):,} test."
        ),
    )


def _split(y: np.ndarray, seed: int) -> list[np.ndarray]:
    """Row numbers of train, valid and test, shuffled, each with the same share per class."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(y))
    rows = rows[np.argsort(y[rows], kind="stable")]  # shuffled within each class
    place = np.arange(len(rows)) % 20  # of every 20 rows 14 train, 3 valid, 3 test
    parts = (place < 14, (place >= 14) & (place < 17), place >= 17)
    return [rng.permutation(rows[part]) for part in parts]


def _baselines(train: Split, valid: Split, test: Split) -> dict[str, dict[str, float]]:
    """Error in % of always naming the commonest class, and of a linear model on all pixels."""
    from sklearn.linear_model import LogisticRegression

    commonest = np.bincount(train[1]).argmax()
    model = LogisticRegression(max_iter=1_000).fit(train[0].reshape(len(train[0]), -1), train[1])
    errors: dict[str, dict[str, float]] = {"majority class": {}, "logistic regression": {}}
    for split, (x, y) in {"valid": valid, "test": test}.items():
        named = model.predict(x.reshape(len(x), -1))
        errors["majority class"][split] = float(100.0 * np.mean(y != commonest))
        errors["logistic regression"][split] = float(100.0 * np.mean(y != named))
    return errors
