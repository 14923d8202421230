"""The results of a search: the best settings, all trials, the model trained again."""

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import keras

from keras_lstm_variants._cli.tables import csv_data
from keras_lstm_variants._cli.work_folder import PARTIAL, WorkFolder, write_atomically, write_json
from keras_lstm_variants.tuning.data import Data, Split
from keras_lstm_variants.tuning.messages import beaten, cause, reason, score, score_name
from keras_lstm_variants.tuning.oracles import COMPLETED, number_of
from keras_lstm_variants.tuning.settings import Search
from keras_lstm_variants.tuning.tuner import SearchError

BEST, MODEL, SAVED_MODEL, TRIALS = "best.json", "best.keras", "best_model", "trials.csv"


class SearchFolder(WorkFolder):
    """The folder of one search."""

    option = "--directory"
    holds = "search"
    main = "search.json"
    parts = ("trials", "workers")

    def best(self) -> dict[str, Any] | None:
        """What the search ended with, if it has."""
        try:
            return json.loads((self.folder / BEST).read_text("utf-8"))
        except (OSError, ValueError):
            return None


def clean(values: dict[str, Any]) -> dict[str, Any]:
    """Settings without Keras Tuner's own entries."""
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}


def save_trials(folder: Path, oracle: Any, epochs: int) -> None:
    """All trials as CSV, in the order of their numbers; `epochs` are those of a trial."""
    names = dict.fromkeys(p.name for p in oracle.get_space().space)
    columns = ["trial", "status", "score", "objective", "best_epoch", "epochs", "goes_on_from"]
    columns += ["seconds", *names, "error"]
    rows = []
    for trial in sorted(oracle.trials.values(), key=number_of):
        done, values = trial.status == COMPLETED, trial.hyperparameters.values
        before = values.get("tuner/initial_epoch", 0)
        seconds = oracle.seconds.get(trial.trial_id)
        rows.append(
            {
                **clean(values),
                "trial": trial.trial_id,
                "status": trial.status,
                # The same, but where the objective is of standardised numbers.
                "score": score(oracle, trial) if done else "",
                "objective": float(trial.score) if done else "",
                # Keras Tuner counts from where a trial of Hyperband goes on.
                "best_epoch": before + trial.best_step + 1 if done else "",
                "epochs": values.get("tuner/epochs", epochs) if done else "",
                "goes_on_from": values.get("tuner/trial_id", ""),
                "seconds": "" if seconds is None else round(seconds, 2),
                "error": reason(trial) if trial.status == "FAILED" else "",
            }
        )
    write_atomically(folder / TRIALS, csv_data(columns, rows))


class _KeepBest(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the best objective."""

    def __init__(self, objective: Any) -> None:
        super().__init__()
        self.objective = objective
        self.epoch, self.score, self.weights = 0, math.nan, None
        self.logs: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = float(logs[self.objective.name])
        if self.weights is None or self.objective.better_than(value, self.score):
            self.epoch, self.score, self.weights = epoch + 1, value, self.model.get_weights()
            self.logs = {name: float(v) for name, v in logs.items()}


def fit_arguments(data: Data) -> dict[str, Any]:
    """For `search` and `fit`."""
    return {
        "x": data.train.inputs,
        "y": data.train.y,
        "validation_data": (data.valid.inputs, data.valid.y),
    }


def evaluate(model: keras.Model, split: Split) -> dict[str, float]:
    """Loss and metric on a split, each real step or sequence counted once."""
    scores = model.evaluate(split.inputs, split.y, batch_size=256, verbose=0, return_dict=True)
    return {name: float(value) for name, value in scores.items()}


def retrain(search: Search, tuner: Any, trial: Any, folder: Path) -> dict[str, Any]:
    """Train the best setting again, save the model, and score it on the test split.

    Raises:
        SearchError: the training failed this time.
    """
    keep = _KeepBest(tuner.oracle.objective)
    try:
        tuner.seed(trial)
        model = tuner.build_anew(trial.hyperparameters)
        history = search.hypermodel.fit(
            trial.hyperparameters,
            model,
            **fit_arguments(search.data),
            epochs=search.epochs,
            verbose=0,
            callbacks=[keep],
        )
        model.set_weights(keep.weights)
        test = evaluate(model, search.data.test)
    except Exception as error:
        raise SearchError(
            f"Training the best setting (trial {trial.trial_id}) again failed: {cause(error)}"
        ) from error
    try:
        save_model(model, folder)
    except OSError:
        raise
    except Exception as error:  # TensorFlow has errors of its own for a full disk
        raise SearchError(f"Saving the best model failed: {cause(error)}") from error
    return {
        "epochs": len(history.epoch),
        "best_epoch": keep.epoch,
        tuner.oracle.objective.name: keep.score,
        score_name(tuner.oracle): keep.logs[score_name(tuner.oracle)],
        "parameters": model.count_params(),
        "test": {**test, search.data.metric: search.data.score(test)},
    }


def save_model(model: keras.Model, folder: Path) -> None:
    """As `.keras` and as SavedModel; each is there whole or not at all."""
    partial = folder / f"{PARTIAL}{MODEL}"
    model.save(partial)
    os.replace(partial, folder / MODEL)
    partial = folder / f"partial_{SAVED_MODEL}"
    shutil.rmtree(partial, ignore_errors=True)
    model.export(partial, verbose=False)
    shutil.rmtree(folder / SAVED_MODEL, ignore_errors=True)
    os.replace(partial, folder / SAVED_MODEL)


def save_best(
    folder: Path, search: Search, oracle: Any, trained: dict[str, Any], versions: dict[str, str]
) -> dict[str, Any]:
    """`best.json`, written last: with it the search has ended."""
    trial = oracle.completed[0]
    record = {
        "identity": search.identity,
        "objective": {
            "name": oracle.objective.name,
            "direction": oracle.objective.direction,
            "value": float(trial.score),
        },
        "trial": trial.trial_id,
        "score_name": score_name(oracle),
        "score": score(oracle, trial),
        "baselines": oracle.baselines,
        "baseline_beaten": beaten(oracle, trial) if oracle.baselines else None,
        "settings": clean(trial.hyperparameters.values),
        "trials": len(oracle.ended),
        "failed": len(oracle.ended) - len(oracle.completed),
        "trained_again": trained,
        "baselines_of_test": search.data.baselines.test,
        "metric": search.data.metric,
        "model": MODEL,
        "saved_model": SAVED_MODEL,
        "versions": versions,
        # For keras_tuner.HyperParameters.from_config.
        "hyperparameters": trial.hyperparameters.get_config(),
    }
    write_json(folder / BEST, record)
    return record
