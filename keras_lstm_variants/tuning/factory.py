"""`make_tuner`: from checked arguments to a tuner that resumes what is in its folder."""

import contextlib
import io
import math
import os
from pathlib import Path
from typing import Any

import keras_tuner

from keras_lstm_variants._cli.work_folder import path_of
from keras_lstm_variants.core import checks
from keras_lstm_variants.tuning import fingerprint, oracles
from keras_lstm_variants.tuning.hypermodel import RecurrentHyperModel
from keras_lstm_variants.tuning.options import ALGORITHMS, COUNTS, MOST_SEED
from keras_lstm_variants.tuning.tuner import TUNER_ID, HyperbandTuner, Tuner, let_resume

HYPERBAND_FACTOR = 3


def make_tuner(
    algorithm: str,
    hypermodel: Any,
    *,
    directory: str | os.PathLike[str],
    objective: str | keras_tuner.Objective = "val_loss",
    max_trials: int | None = 20,
    epochs: int = 10,
    executions_per_trial: int = 1,
    seed: int = 0,
    project_name: str = "trials",
    distribution_strategy: Any = None,
) -> keras_tuner.Tuner:
    """A Keras Tuner tuner with fixes for failures, resuming and seeding.

    Keras Tuner 1.4.8 does otherwise in these:

    - A trial that raises, or whose score is not a number, has failed, and the search goes on.
      A search in which no trial completed raises; it names no best setting.
    - After a kill at any moment the same call resumes and repeats at most the trial that was
      running. A trial whose process died twice has failed. A grid search resumes, too.
    - Seed 0 is a seed.

    Args:
        algorithm: `"random"`, `"hyperband"`, `"bayesian"` (needs scikit-learn: the extra
            `bayesian`) or `"grid"`.
        hypermodel: a `keras_tuner.HyperModel`, or a function of `hp` that returns a model.
        directory: folder of the search; what is there already is resumed, if it is a search
            with the same space, objective, epochs and seed, on the same data. (A space is that
            of a model of default settings, data are known if they are arrays.)
        objective: a name, or a `keras_tuner.Objective` with its direction.
        max_trials: settings to try at most. None with a grid: all; with Hyperband: as many
            as one round has.
        epochs: of each trial; with Hyperband of its longest ones.
        executions_per_trial: trainings of each setting, whose scores are averaged.
        seed: of the settings, the weights and the batches.
        project_name: folder inside `directory`.
        distribution_strategy: a `tf.distribute.MirroredStrategy` to train each trial on
            several devices; make one in a process, not more.

    Returns:
        A `keras_tuner.Tuner`: `search(x, y, validation_data=...)`, then
        `get_best_hyperparameters()`, `oracle.completed`, ...

    Raises:
        ValueError: an argument is not as above, or the folder holds another search.
        ImportError: scikit-learn is missing.

    Example:
        >>> import numpy as np, tempfile, keras_lstm_variants as klv
        >>> hypermodel = klv.tuning.RecurrentHyperModel(
        ...     (5, 2), "regression", variants=["LSTM"], units=[4, 8], layers=1
        ... )
        >>> x, y = np.random.normal(size=(32, 5, 2)), np.zeros((32, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tuner = klv.tuning.make_tuner(
        ...         "random", hypermodel, directory=folder, max_trials=2, epochs=1
        ...     )
        ...     tuner.search(x, y, validation_data=(x, y), verbose=0)
        ...     sorted(tuner.get_best_hyperparameters()[0].values)[:3]
        ['batch_size', 'clipnorm', 'dropout']
    """
    settings = {
        "algorithm": checks.one_of("algorithm", algorithm, ALGORITHMS),
        "epochs": epochs,
        "executions_per_trial": executions_per_trial,
        "seed": _check_numbers(algorithm, max_trials, epochs, executions_per_trial, seed),
    }
    folder = _path("directory", directory)
    _check_name(project_name)
    _check_objects(hypermodel, objective, distribution_strategy)
    reported = ""
    if isinstance(hypermodel, RecurrentHyperModel):
        reported = hypermodel.reported(getattr(objective, "name", objective))
        if isinstance(objective, str):
            objective = hypermodel.objective(objective)
    oracle = _oracle_of(algorithm, max_trials, epochs, objective=objective, seed=settings["seed"])
    oracle.reported = reported
    _check_folder(folder / project_name, hypermodel, objective, settings)
    kind = HyperbandTuner if algorithm == "hyperband" else Tuner
    with contextlib.redirect_stdout(io.StringIO()):
        tuner = kind(
            oracle=oracle,
            hypermodel=hypermodel,
            directory=str(folder),
            project_name=project_name,
            executions_per_trial=executions_per_trial,
            distribution_strategy=distribution_strategy,
        )
    tuner.epochs, tuner.base_seed = epochs, settings["seed"]
    if tuner.has_oracle:
        # Before the first trial, so that its death is known as one.
        tuner.save()
        if algorithm == "grid":
            oracle.settings()
    return tuner


def _check_numbers(
    algorithm: str, max_trials: int | None, epochs: int, executions_per_trial: int, seed: int
) -> int:
    """The seed, after a `ValueError` for a number that is out of its range."""
    if max_trials is None and algorithm in ("random", "bayesian"):
        raise ValueError(
            f"`max_trials` must be given with algorithm={algorithm!r}. Received: max_trials=None"
        )
    counts = {"epochs": epochs, "executions_per_trial": executions_per_trial}
    counts |= {} if max_trials is None else {"max_trials": max_trials}
    for name, value in counts.items():
        if checks.positive_integer(name, value) > COUNTS[name]:
            raise ValueError(f"`{name}` must be at most {COUNTS[name]:,}. Received: {name}={value}")
    seed = checks.seed("seed", seed) or 0
    if seed > MOST_SEED:
        raise ValueError(f"`seed` must be at most {MOST_SEED:,}. Received: seed={seed}")
    return seed


def _path(name: str, value: Any) -> Path:
    try:
        return path_of(f"`{name}`", value)
    except TypeError:
        raise ValueError(f"`{name}` must be a path. Received: {name}={value!r}") from None


def _check_name(project_name: str) -> None:
    plain = _path("project_name", project_name).name == project_name != ".."
    if not plain or "\\" in project_name:
        raise ValueError(
            "`project_name` must be the name of a folder in `directory`. Received: "
            f"project_name={project_name!r}"
        )


def _check_objects(hypermodel: Any, objective: Any, distribution_strategy: Any) -> None:
    if not isinstance(hypermodel, keras_tuner.HyperModel) and not callable(hypermodel):
        raise ValueError(
            "`hypermodel` must be a keras_tuner.HyperModel or a function of `hp`. Received: "
            f"hypermodel={hypermodel!r}"
        )
    if distribution_strategy is not None and not hasattr(distribution_strategy, "scope"):
        raise ValueError(
            "`distribution_strategy` must be a tf.distribute.Strategy or None. Received: "
            f"distribution_strategy={distribution_strategy!r}"
        )
    if not isinstance(objective, str | list | keras_tuner.Objective):
        raise ValueError(
            "`objective` must be the name of a score, or a keras_tuner.Objective. Received: "
            f"objective={objective!r}"
        )


def _oracle_of(algorithm: str, max_trials: int | None, epochs: int, **common: Any) -> Any:
    """The oracle that chooses the settings."""
    if algorithm == "hyperband":
        oracle = oracles.HyperbandOracle(max_epochs=epochs, factor=HYPERBAND_FACTOR, **common)
        oracle.max_trials = max_trials
        return oracle
    if algorithm == "bayesian":
        # By default it takes three random trials for each parameter: often all there are.
        points = max(3, math.ceil(max_trials / 3))
        return oracles.BayesianOracle(max_trials=max_trials, num_initial_points=points, **common)
    kind = oracles.GridOracle if algorithm == "grid" else oracles.RandomOracle
    return kind(max_trials=max_trials, **common)


def _check_folder(project: Path, hypermodel: Any, objective: Any, settings: dict[str, Any]) -> None:
    """Let Keras Tuner resume what is in the folder; a `ValueError` if it is another search."""
    if TUNER_ID not in os.environ:
        fingerprint.check(
            project,
            objective=str(getattr(objective, "name", objective)),
            space=fingerprint.parameters_of(hypermodel),
            **settings,
        )
    if (project / "oracle.json").exists():
        fingerprint.read(project / "oracle.json")
        let_resume(project)
