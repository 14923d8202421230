"""What a search was asked for on the command line."""

import argparse
import dataclasses
import json
from typing import Any

import numpy as np

from keras_lstm_variants import tasks
from keras_lstm_variants.registry import list_variants
from keras_lstm_variants.tuning.data import Data, DataError, from_file, from_task
from keras_lstm_variants.tuning.hypermodel import RecurrentHyperModel
from keras_lstm_variants.tuning.options import (
    PARAMETERS,
    UsageError,
    check,
    in_options,
    seconds_of,
    spaces,
)
from keras_lstm_variants.tuning.oracles import hyperband_plan
from keras_lstm_variants.tuning.space import parse
from keras_lstm_variants.tuning.tuner import HYPERBAND_FACTOR

EPOCHS = {"docs_text": 4, "text": 4, "adding": 10, "digits": 20}
JIT = {None: "auto", True: True, False: False}


@dataclasses.dataclass
class Search:
    """A search as it was asked for, checked, with its data and its models."""

    arguments: argparse.Namespace
    data: Data
    hypermodel: RecurrentHyperModel
    epochs: int
    max_trials: int | None
    max_seconds: float | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for trials to belong to one search. `--max-trials` may grow."""
        names = ("tuner", "objective", "seed", "executions_per_trial", "variants", "forget_bias")
        names += ("max_timesteps", "units_per_layer", "jit", "no_standardize", *PARAMETERS)
        found = {name: getattr(self.arguments, name) for name in names}
        found |= {"data_sha256": self.data.sha256, "head": self.data.head, "epochs": self.epochs}
        return json.loads(json.dumps(found))

    def epochs_of(self, trial: Any) -> int:
        """Epochs that a trial trains for, all its executions together."""
        values = trial.hyperparameters.values
        own = values.get("tuner/epochs", self.epochs) - values.get("tuner/initial_epoch", 0)
        return own * self.arguments.executions_per_trial

    def plan(self, settings: int | None) -> tuple[int, int]:
        """Trials and epochs that the search will have, out of `settings` of a grid."""
        times = self.arguments.executions_per_trial
        if self.arguments.tuner == "hyperband":
            steps = hyperband_plan(self.epochs, HYPERBAND_FACTOR)
            each = [epochs for trials, epochs in steps for _ in range(trials)]
            each = each[: self.max_trials]
            return len(each), times * sum(each)
        trials = min(n for n in (self.max_trials, settings) if n is not None)
        return trials, trials * self.epochs * times


def read(arguments: argparse.Namespace) -> Search:
    """Check all arguments and load the data.

    Raises:
        UsageError: with one line for the user.
    """
    try:
        return _read(arguments)
    except (tasks.TaskError, DataError, ValueError) as error:
        raise UsageError(in_options(str(error))) from error


def _read(arguments: argparse.Namespace) -> Search:
    check(arguments)
    if arguments.jit and arguments.replicas > 1:
        raise UsageError("--jit does not go with --replicas: XLA runs on one device")
    options = spaces(arguments)
    data = _data(arguments)
    if data.symbols is None and arguments.embedding is not None:
        raise UsageError("--embedding is for sequences of integers, and these are vectors")
    if not arguments.no_standardize:
        options |= data.statistics()
    names = arguments.variants
    hypermodel = RecurrentHyperModel(
        data.input_shape,
        data.head,
        data.outputs,
        symbols=data.symbols,
        masked=data.masked,
        variants=list_variants() if names == "all" else [n for n in names.split(",") if n],
        units_per_layer=arguments.units_per_layer,
        forget_bias=_forget_bias(arguments.forget_bias),
        max_timesteps=data.max_timesteps
        if arguments.max_timesteps is None
        else arguments.max_timesteps,
        jit_compile=JIT[arguments.jit],
        **options,
    )
    hypermodel.objective(arguments.objective)
    max_trials = arguments.max_trials
    if max_trials is None and arguments.tuner in ("random", "bayesian"):
        max_trials = 20
    epochs = arguments.epochs or EPOCHS.get(data.name, 20)
    return Search(arguments, data, hypermodel, epochs, max_trials, seconds_of(arguments))


def _data(arguments: argparse.Namespace) -> Data:
    if arguments.data is not None:
        return from_file(arguments.data, head=arguments.head, seed=arguments.seed)
    task = (
        arguments.task
        if arguments.task is not None
        else ("docs_text" if arguments.text is None else "text")
    )
    if arguments.text is not None and task == "docs_text":
        task = "text"
    data = from_task(task, text=arguments.text, length=arguments.length, steps=arguments.steps)
    if len(data.train.x) == 0:
        raise UsageError(f"--steps {arguments.steps} is longer than the text")
    return data


def _forget_bias(text: str | None) -> Any:
    """A list of what `text` names: numbers, one range, chrono, default."""
    if text is None:
        return None
    found = []
    for part in text.split(","):
        found.append(part if part.isalpha() and part not in ("nan", "inf") else parse_one(part))
    return found


def parse_one(part: str) -> Any:
    try:
        value = parse("--forget-bias", part, float)
        if np.all(np.isfinite(value)):
            return value
    except ValueError:
        pass
    raise UsageError(
        "--forget-bias must be of numbers, a range as 0:5, chrono and default, separated by "
        f"commas. Received: {part!r}"
    )
