"""What a search was asked for on the command line."""

import argparse
import dataclasses
import json
from typing import Any

import numpy as np

from keras_lstm_variants._cli.arguments import task_of, variants_of
from keras_lstm_variants._cli.errors import UsageError, in_options
from keras_lstm_variants.backend.replicas import mirrored
from keras_lstm_variants.backend.threads import limit_threads
from keras_lstm_variants.tuning.data import Data, from_file, from_task
from keras_lstm_variants.tuning.factory import HYPERBAND_FACTOR, make_tuner
from keras_lstm_variants.tuning.hypermodel import RecurrentHyperModel
from keras_lstm_variants.tuning.options import (
    PARAMETERS,
    check,
    seconds_of,
    spaces,
)
from keras_lstm_variants.tuning.oracles import hyperband_plan
from keras_lstm_variants.tuning.ranges import parse

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
        values = {name: getattr(self.arguments, name) for name in names}
        values |= {"data_sha256": self.data.sha256, "head": self.data.head, "epochs": self.epochs}
        return json.loads(json.dumps(values))

    def epochs_of(self, trial: Any) -> int:
        """Epochs that a trial trains for, all its executions together."""
        values = trial.hyperparameters.values
        epochs = values.get("tuner/epochs", self.epochs) - values.get("tuner/initial_epoch", 0)
        return epochs * self.arguments.executions_per_trial

    def plan(self, settings: int | None) -> tuple[int, int]:
        """How many trials and epochs the search will have; a grid has so many `settings`."""
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
    except ValueError as error:
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
    hypermodel = RecurrentHyperModel(
        data.input_shape,
        data.head,
        data.outputs,
        symbols=data.symbols,
        masked=data.masked,
        variants=variants_of(arguments.variants),
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
    task = task_of(arguments)
    data = from_task(task, text=arguments.text, length=arguments.length, steps=arguments.steps)
    if len(data.train.x) == 0:
        raise UsageError(f"--steps {arguments.steps} is longer than the text")
    return data


def _forget_bias(text: str | None) -> Any:
    """A list of what `text` names: numbers, one range, chrono, default."""
    if text is None:
        return None
    return [
        part if part.isalpha() and part not in ("nan", "inf") else _number_or_range(part)
        for part in text.split(",")
    ]


def _number_or_range(part: str) -> Any:
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


def tuner_of(search: Search) -> Any:
    """The tuner, with what is in the folder already.

    Raises:
        UsageError: the tuner lacks a package, the grid is too large, the devices are too few.
    """
    arguments = search.arguments
    try:
        if arguments.threads is not None:
            limit_threads(arguments.threads)
        strategy = mirrored(arguments.replicas) if arguments.replicas > 1 else None
        return make_tuner(
            arguments.tuner,
            search.hypermodel,
            directory=arguments.directory,
            objective=search.hypermodel.objective(arguments.objective),
            max_trials=search.max_trials,
            epochs=search.epochs,
            executions_per_trial=arguments.executions_per_trial,
            seed=arguments.seed,
            distribution_strategy=strategy,
        )
    except ImportError as error:
        raise UsageError(
            f"--tuner {arguments.tuner} needs scikit-learn: pip install "
            f"'keras_lstm_variants[bayesian]' ({str(error).splitlines()[0]})"
        ) from None
    except ValueError as error:
        raise UsageError(str(error)) from None
