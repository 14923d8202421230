"""Scores without memory on the data of a search, in the units of its own scores."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from keras_lstm_variants.tasks.baselines import (
    Numbers,
    WittenBell,
    class_baselines,
    number_baselines,
)
from keras_lstm_variants.tasks.task import Task

if TYPE_CHECKING:
    from keras_lstm_variants.tuning.data import Split

SQUARE = "mean_squared_error"


@dataclasses.dataclass(frozen=True)
class Baselines:
    """Scores of models without memory.

    Attributes:
        test: baseline -> score of the test split in the unit of the data's metric.
        valid: name of a score, as Keras reports it -> baseline -> validation score.
    """

    test: dict[str, float]
    valid: dict[str, dict[str, float]]

    def of(self, score: str) -> dict[str, float]:
        """Those of a score that a model reports, as `val_loss`; none for scores of training."""
        return self.valid.get(score.removeprefix("val_"), {}) if score.startswith("val_") else {}


def of_task(task: Task) -> Baselines:
    """Those of a task."""
    unit = math.log(2) if task.metric == "bits/char" else 1.0
    test = {name: scores["test"] for name, scores in task.baselines.items()}
    valid = {name: scores["valid"] for name, scores in task.baselines.items()}
    if task.metric == "error %":
        return Baselines(test, {"accuracy": {n: 1 - v / 100 for n, v in valid.items()}})
    loss = {name: value * unit for name, value in valid.items()}
    return Baselines(test, {"loss": loss, SQUARE: loss} if unit == 1 else {"loss": loss})


def of_arrays(head: str, symbols: int | None, train: Split, valid: Split, test: Split) -> Baselines:
    """Those of a user's arrays."""
    splits = train, valid, test
    if head in ("classification", "labels"):
        masked = head == "labels" and train.mask is not None
        classes = [s.y[s.mask] if masked else s.y.ravel() for s in splits]
        errors = class_baselines(*classes, 1 + max(int(y.max()) for y in classes))
        error = 100 * (1 - errors["commonest class"]["test"]["accuracy"])
        return Baselines({"commonest class": error}, _by_score(errors))
    if head == "next_step" and symbols is not None:
        return _next_symbols(symbols, train, valid, test)
    if symbols is not None:  # no numbers to look at
        blank = [np.zeros((*s.x.shape, 1), "float32") for s in splits]
        numbers = [Numbers(x, s.y, s.mask) for x, s in zip(blank, splits, strict=True)]
        errors = {"constant": number_baselines(*numbers, lengths=())["constant"]}
    else:
        errors = number_baselines(*(Numbers(s.x, s.y, s.mask) for s in splits))
    scores = _by_score(errors)
    # Where nothing is standardised, the loss is the mean squared error.
    scores["loss"] = scores[SQUARE]
    return Baselines({name: splits["test"][SQUARE] for name, splits in errors.items()}, scores)


def _by_score(errors: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = {}
    for name, splits in errors.items():
        for score, value in splits["valid"].items():
            scores.setdefault(score, {})[name] = value
    return scores


def _next_symbols(symbols: int, *splits: Split) -> Baselines:
    """Cross-entropy of models that see none and one of the symbols before."""
    whole = [np.hstack([s.x, s.y[:, -1:]]).astype("int64") for s in splits]
    wanted = [np.ones(s.x.shape, bool) if s.mask is None else s.mask for s in splits]
    # A symbol is there where it is read or asked for.
    pad = ((0, 0), (0, 1)), ((0, 0), (1, 0))
    real = [np.pad(w, pad[0]) | np.pad(w, pad[1]) for w in wanted]
    test, valid = {}, {}
    for name, order in (("memoryless", 0), ("order-1", 1)):
        model = WittenBell(whole[0], symbols, order, real[0])
        valid[name], test[name] = (
            float(-np.log(model.probabilities(whole[k], real[k])[:, 1:][wanted[k]]).mean())
            for k in (1, 2)
        )
    return Baselines(test, {"loss": valid})
