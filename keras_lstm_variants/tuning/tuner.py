"""Keras Tuner's tuners on oracles that account for every trial.

The names with an underscore, `keras_tuner.src` and `keras_tuner.engine` are its own; a test keeps
them in this module and in `oracles`.
"""

import errno
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

from keras_lstm_variants.core import checks
from keras_lstm_variants.tuning import fingerprint, messages, oracles
from keras_lstm_variants.tuning.hypermodel import RecurrentHyperModel
from keras_lstm_variants.tuning.oracles import ERROR_FILE

# Tells Keras Tuner which process of a search this one is.
TUNER_ID = "KERASTUNER_TUNER_ID"


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
    """A mixin for tuners of Keras Tuner: reports, seeds and failures."""

    epochs: int
    base_seed: int
    asked = False
    # What is told after every epoch: the trial, its epoch, the scores.
    on_epoch: Callable[[Any, int, dict[str, float]], None] = staticmethod(lambda *_: None)

    @property
    def has_oracle(self) -> bool:
        """Whether the oracle is in this process: with several, it is in the chief's."""
        return not self._is_worker()

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
            reason = messages.cause(error)
            path = Path(self.get_trial_dir(trial.trial_id)) / ERROR_FILE
            path.write_text(f"FailedTrialError: {reason}\n", "utf-8")
            raise keras_tuner.errors.FailedTrialError(reason) from error

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
        checks.one_of("verbose", verbose, (0, 1, 2))
        if self.has_oracle:
            self.check_objective(kwargs)
            self.check_data(args, kwargs)
            fingerprint.check(Path(self.project_dir), data=fingerprint.hash_of_data(args, kwargs))
        # It prints a traceback of every failure, which it also keeps in the trial.
        before, config.DEBUG = config.DEBUG, False
        if verbose == 1 and self.has_oracle:
            self.oracle.listener = self.say
        try:
            shown = 2 if verbose == 2 else 0
            super().search(*args, **{"epochs": self.epochs, "verbose": shown, **kwargs})
        finally:
            config.DEBUG = before
        if self.has_oracle:
            self.check_completed()

    def say(self, kind: str, trial: Any) -> None:
        if kind == "end":
            print(f"trial {trial.trial_id}: {messages.ended(self.oracle, trial)}", flush=True)

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
            why = f" The first one: {messages.reason(failed[0])}" if failed else ""
            time_ = " before the time was up" if self.oracle.time_is_up else ""
            raise SearchError(f"No trial completed{time_}, {len(failed)} failed.{why}")

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[Any]:
        """As Keras Tuner's, but never those of a trial that failed."""
        if self.has_oracle:
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


def let_resume(project: Path) -> None:
    """Keras Tuner resumes only where it finds a file of this process, and else starts anew.

    A search may so go on in several processes, and back in one.
    """
    (project / f"{os.environ.get(TUNER_ID, 'tuner0')}.json").write_text("{}", "utf-8")
