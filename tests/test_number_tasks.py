"""The tasks of numbers: adding, and the images of digits."""

import builtins
import warnings
from collections import Counter

import numpy as np
import pytest

from keras_lstm_variants import tasks


@pytest.mark.parametrize("length", [None, 4, 7])
def test_adding_marks_one_value_in_each_half_and_sums_them(length):
    task = tasks.load("adding", length=length)
    length = length or 50
    assert (task.kind, task.metric) == ("regression", "mean squared error")
    for split, count in (("train", 8_000), ("valid", 1_000), ("test", 1_000)):
        x, y = getattr(task, split)
        assert x.dtype == y.dtype == np.float32
        assert x.shape == (count, length, 2) and y.shape == (count, 1)
        value, mark = x[..., 0], x[..., 1]
        assert set(np.unique(mark)) == {0, 1}
        assert (mark[:, : length // 2].sum(axis=1) == 1).all()
        assert (mark[:, length // 2 :].sum(axis=1) == 1).all()
        assert (mark.sum(axis=0) > 0).all()  # every step is marked in some sequence
        np.testing.assert_allclose((value * mark).sum(axis=1), y[:, 0], rtol=1e-6)
        assert 0 <= value.min() and value.max() < 1
        assert value.mean() == pytest.approx(0.5, abs=0.02)


def test_adding_baselines():
    task = tasks.load("adding")
    assert task.target == min(task.baselines, key=lambda name: task.baselines[name]["valid"])
    mean = task.train[1].mean()
    for split in ("valid", "test"):
        y = getattr(task, split)[1]
        expected = y.var() + (y.mean() - mean) ** 2
        assert task.baselines["constant"][split] == pytest.approx(expected, rel=1e-4)
        assert task.baselines["constant"][split] == pytest.approx(1 / 6, abs=0.015)
    # What a linear fit can know of the target, 1/6 - 1/(3 length), is 1/12 at length 4.
    for split, score in tasks.load("adding", length=4).baselines["linear"].items():
        assert score == pytest.approx(1 / 12, abs=0.006), split
    assert list(tasks.load("adding", length=101).baselines) == ["constant"]


# --- digits -----------------------------------------------------------------------------------


def test_digits_are_the_images_row_by_row(digits):
    from sklearn.datasets import load_digits

    assert (digits.kind, digits.metric, digits.classes) == ("classification", "error %", 10)
    known = load_digits()
    left = Counter(
        (i.astype(np.float32).tobytes(), int(t))
        for i, t in zip(known.images, known.target, strict=True)
    )
    sizes = []
    for split in ("train", "valid", "test"):
        x, y = getattr(digits, split)
        assert x.dtype == np.float32 and x.shape[1:] == (8, 8) and y.dtype == np.int32
        assert x.min() == 0 and x.max() == 1
        sizes.append(len(y))
        share = np.bincount(y, minlength=10) / len(y)
        np.testing.assert_allclose(share, np.bincount(known.target) / 1797, atol=0.015)
        left.subtract((image.tobytes(), int(label)) for image, label in zip(x * 16, y, strict=True))
    assert set(left.values()) == {0}  # every image once, with its own label
    np.testing.assert_allclose(np.array(sizes) / 1797, [0.70, 0.15, 0.15], atol=0.005)


def test_digits_baselines(digits):
    assert digits.target == "logistic regression"
    majority = np.bincount(digits.train[1]).argmax()
    for split in ("valid", "test"):
        y = getattr(digits, split)[1]
        wrong = 100 - 100 * np.bincount(y, minlength=10)[majority] / len(y)
        assert digits.baselines["majority class"][split] == pytest.approx(wrong)
        assert 85 < digits.baselines["majority class"][split] < 92
        assert 1 < digits.baselines["logistic regression"][split] < 7


@pytest.mark.slow
def test_digits_baselines_converge_without_a_warning():
    pytest.importorskip("sklearn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tasks.load("digits", seed=3)


def test_digits_without_scikit_learn(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "sklearn":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(tasks.TaskError, match="pip install scikit-learn"):
        tasks.load("digits")
