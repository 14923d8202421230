"""Keras Tuner's tuners on oracles that account for every trial."""

import contextlib
import errno
import io
import math
import os
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.src import config

from keras_lstm_variants import _checks
from keras_lstm_variants._folder import path_of
from keras_lstm_variants.tuning import identity, oracles, words
from keras_lstm_variants.tuning.hypermodel import RecurrentHyperModel
from keras_lstm_variants.tuning.options import ALGORITHMS, COUNTS, MOST_SEED
from keras_lstm_variants.tuning.oracles import ERROR_FILE

HYPERBAND_FACTOR = 3


class SearchError(RuntimeError):
    """The search has no result; the message is one line that says why."""


class FolderFailed(keras_tuner.errors.FatalError):
    """The folder of the search cannot be written to: that is not the trial's doing."""


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}


def _is_the_folders(error: BaseException, folder: Path) -> bool:
    """Whether it was an error of writing, as on a full disk or in a folder that is gone."""
    # HDF5 and TensorFlow tell the number in words only.
    full = getattr(error, "errno", None) in _FULL or any(
        os.strerror(number) in str(error) for number in _FULL
    )
    return full or not (folder / "oracle.json").exists()


class TimeIsUp(BaseException):
    """The search ends here, in the middle of a trial; no `Exception`, which would fail it."""


class _Watched:
    """To stand before a tuner of Keras Tuner: what it reports, seeds, and what went wrong."""

    epochs: int
    base_seed: int
    asked = False
    # What is told after every epoch: the trial, its epoch, the scores.
    on_epoch: Callable[[Any, int, dict[str, float]], None] = staticmethod(lambda *_: None)

    def seed(self, trial: Any) -> None:
        """Start the random numbers of a trial: the same in whatever process it runs again."""
        seed = zlib.crc32(f"{self.base_seed}/{trial.trial_id}".encode())
        keras.utils.set_random_seed(seed % 2**31)

    def build_anew(self, hp: Any) -> keras.Model:
        """A model of these settings, untrained also with Hyperband."""
        keras.backend.clear_session()
        return keras_tuner.Tuner._build_hypermodel(self, hp)

    def load_model(self, trial: Any) -> keras.Model:
        model = self.build_anew(trial.hyperparameters)
        self.load_weights(model, trial.trial_id)
        return model

    def load_weights(self, model: keras.Model, trial_id: str) -> None:
        """Those of a trial's best epoch, with what the optimizer has gathered."""
        with keras_tuner.engine.tuner.maybe_distribute(self.distribution_strategy):
            # Without its variables Keras Tuner leaves theirs out, with a warning.
            if model.optimizer is not None:
                model.optimizer.build(model.trainable_variables)
            model.load_weights(self._get_checkpoint_fname(trial_id))

    def on_trial_begin(self, trial: Any) -> None:
        super().on_trial_begin(trial)
        self.asked = False
        self.seed(trial)

    def _get_tensorboard_dir(self, *args: Any) -> str:
        folder = super()._get_tensorboard_dir(*args)
        # Curves of a trial that was killed would stand beside those of its second run.
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def on_batch_end(self, trial: Any, model: Any, batch: int, logs: Any = None) -> None:
        super().on_batch_end(trial, model, batch, logs)
        if getattr(self.oracle, "time_is_up", False):  # a worker's chief knows
            raise TimeIsUp

    def on_epoch_end(self, trial: Any, model: Any, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(trial, model, epoch, logs)
        self.on_epoch(trial, epoch, dict(logs or {}))

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().run_trial(trial, *args, **kwargs)
        except keras_tuner.errors.FatalError:
            raise
        except Exception as error:
            if _is_the_folders(error, Path(self.directory, self.project_name)):
                raise FolderFailed(str(error)) from error
            said = words.cause(error)
            path = Path(self.get_trial_dir(trial.trial_id)) / ERROR_FILE
            path.write_text(f"FailedTrialError: {said}\n", "utf-8")
            raise keras_tuner.errors.FailedTrialError(said) from error

    def search(self, *args: Any, verbose: int = 1, **kwargs: Any) -> None:
        """Run the search, or what is missing of it.

        Args:
            *args, **kwargs: for `fit`. `epochs` is that of the tuner.
            verbose: 1 prints a line for each trial that ends, 0 nothing. With 2, Keras Tuner's
                own tables and Keras's epochs are shown.

        Raises:
            SearchError: no trial completed; with the cause of the first one.
            ValueError: the objective needs validation data, or the folder holds a search on
                other data.
        """
        _checks.one_of("verbose", verbose, (0, 1, 2))
        if not self._is_worker():
            self.check_objective(kwargs)
            self.check_data(args, kwargs)
            identity.check(Path(self.project_dir), data=identity.fingerprint(args, kwargs))
        # It prints a traceback of every failure, which it also keeps in the trial.
        before, config.DEBUG = config.DEBUG, False
        if verbose == 1 and not self._is_worker():
            self.oracle.listener = self.say
        try:
            own = 2 if verbose == 2 else 0
            super().search(*args, **{"epochs": self.epochs, "verbose": own, **kwargs})
        finally:
            config.DEBUG = before
        if not self._is_worker():
            self.check_completed()

    def say(self, kind: str, trial: Any) -> None:
        if kind == "end":
            print(f"trial {trial.trial_id}: {words.ended(self.oracle, trial)}", flush=True)

    def check_objective(self, given: dict[str, Any]) -> None:
        """A `ValueError` where no score can be had, before a trial finds out."""
        name = getattr(self.oracle.objective, "name", "")
        data, split = given.get("validation_data"), given.get("validation_split")
        if name.startswith("val_") and data is None and not split:
            raise ValueError(
                f"The objective {name!r} needs `validation_data=(x, y)` or `validation_split=...` "
                "in `search`. Received: neither"
            )

    def check_data(self, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        """A `ValueError` for labels that no trial could learn."""
        if not isinstance(self.hypermodel, RecurrentHyperModel):
            return
        x, y = (*args, *(given.get(name) for name in ("x", "y")[len(args) :]))[:2]
        pairs = [(x, y)]
        if isinstance(given.get("validation_data"), tuple | list):
            pairs.append(tuple(given["validation_data"])[:2])
        for x, y in pairs:
            self.hypermodel.check_data(x, y)

    def serve(self) -> None:
        """Be the chief of other processes, until they have run all trials."""
        super().search()

    def pre_create_trial(self) -> None:
        super().pre_create_trial()
        # Asked again at once: the chief had nothing to do for us.
        if self.asked:
            time.sleep(0.5)
        self.asked = True

    def check_completed(self) -> None:
        if not self.oracle.completed:
            failed = sorted(self.oracle.ended, key=oracles.number_of)
            why = f" The first one: {words.reason(failed[0])}" if failed else ""
            time_ = " before the time was up" if self.oracle.time_is_up else ""
            raise SearchError(f"No trial completed{time_}, {len(failed)} failed.{why}")

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[Any]:
        """As Keras Tuner's, but never those of a trial that failed."""
        if not self._is_worker():
            self.check_completed()
            return [t.hyperparameters for t in self.oracle.completed[:num_trials]]
        return super().get_best_hyperparameters(num_trials)


class Tuner(_Watched, keras_tuner.Tuner):
    """For random, grid and Bayesian search."""


class HyperbandTuner(_Watched, keras_tuner.Hyperband):
    """Hyperband, whose longer trials go on from the weights of shorter ones."""

    def __init__(self, oracle: Any, **kwargs: Any) -> None:
        # Not Hyperband's own, which would make another oracle.
        keras_tuner.Tuner.__init__(self, oracle, **kwargs)

    def _build_hypermodel(self, hp: Any) -> keras.Model:
        model = keras_tuner.Tuner._build_hypermodel(self, hp)
        if "tuner/trial_id" in hp.values:
            self.load_weights(model, hp.values["tuner/trial_id"])
        return model


def _path(name: str, value: Any) -> Path:
    try:
        return path_of(f"`{name}`", value)
    except TypeError:
        raise ValueError(f"`{name}` must be a path. Received: {name}={value!r}") from None


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
    """A tuner of Keras Tuner that does what one expects where Keras Tuner 1.4.8 does not.

    A trial that raises or whose score is no number has failed, and the search goes on; one
    in which no trial completed raises instead of naming a best setting. After a kill at any
    moment the same call resumes and repeats at most the trial that was running; one whose
    process died twice has failed. A grid search resumes, too. Seed 0 is a seed.

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
    _checks.one_of("algorithm", algorithm, ALGORITHMS)
    if max_trials is None and algorithm in ("random", "bayesian"):
        raise ValueError(
            f"`max_trials` must be given with algorithm={algorithm!r}. Received: max_trials=None"
        )
    given = {"epochs": epochs, "executions_per_trial": executions_per_trial}
    given |= {} if max_trials is None else {"max_trials": max_trials}
    for name, value in given.items():
        if _checks.positive_integer(name, value) > COUNTS[name]:
            raise ValueError(f"`{name}` must be at most {COUNTS[name]:,}. Received: {name}={value}")
    seed = _checks.seed("seed", seed) or 0
    if seed > MOST_SEED:
        raise ValueError(f"`seed` must be at most {MOST_SEED:,}. Received: seed={seed}")
    folder = _path("directory", directory)
    plain = _path("project_name", project_name).name == project_name != ".."
    if not plain or "\\" in project_name:
        raise ValueError(
            "`project_name` must be the name of a folder in `directory`. Received: "
            f"project_name={project_name!r}"
        )
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
    reported = ""
    if isinstance(hypermodel, RecurrentHyperModel):
        reported = hypermodel.reported(getattr(objective, "name", objective))
        if isinstance(objective, str):
            objective = hypermodel.objective(objective)
    common = {"objective": objective, "seed": seed}
    if algorithm == "hyperband":
        oracle = oracles.HyperbandOracle(max_epochs=epochs, factor=HYPERBAND_FACTOR, **common)
        oracle.max_trials = max_trials
    elif algorithm == "bayesian":
        # By default it takes three random trials for each parameter: often all there are.
        points = max(3, math.ceil(max_trials / 3))
        oracle = oracles.BayesianOracle(max_trials=max_trials, num_initial_points=points, **common)
    else:
        kind = oracles.GridOracle if algorithm == "grid" else oracles.RandomOracle
        oracle = kind(max_trials=max_trials, **common)
    oracle.reported = reported
    project = folder / project_name
    if "KERASTUNER_TUNER_ID" not in os.environ:
        identity.check(
            project,
            algorithm=algorithm,
            objective=str(getattr(objective, "name", objective)),
            epochs=epochs,
            executions_per_trial=executions_per_trial,
            seed=seed,
            space=identity.space_of(hypermodel),
        )
    if (project / "oracle.json").exists():
        identity.read(project / "oracle.json")
        # Keras Tuner resumes only where it finds a file of this name, and else starts anew
        # over what is there: a search may go on as a group and back.
        own = project / f"{os.environ.get('KERASTUNER_TUNER_ID', 'tuner0')}.json"
        own.write_text("{}", "utf-8")
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
    tuner.epochs, tuner.base_seed = epochs, seed
    if not tuner._is_worker():
        # Before the first trial, so that its death is known as one.
        tuner.save()
    if algorithm == "grid" and not tuner._is_worker():
        tuner.oracle.settings()
    return tuner
