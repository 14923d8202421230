"""Keras Tuner's oracles, with every trial accounted for whatever becomes of its process.

Keras Tuner 1.4.8 writes its state in place, runs a trial that kills its process again for
ever, adds the scores of a trial's second run to those of the first, loses a grid search's place
when it resumes, and reads seed 0 as no seed. The names with an underscore are its own.
"""

import itertools
import json
import math
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras_tuner

from keras_lstm_variants._cli.work_folder import write_atomically

RUNNING, COMPLETED, FAILED = "RUNNING", "COMPLETED", "FAILED"
DIED = "its process died twice; --retry, or `retry_failed`, runs it again"
ERROR_FILE = "error.txt"

# A grid of more settings is refused: nobody would try them all.
GRID_LIMIT = 100_000


def number_of(trial: Any) -> int:
    """Its number; Keras Tuner pads it to the width of `max_trials`, which may grow."""
    return int(trial.trial_id)


class Accounting:
    """A mixin for oracles of Keras Tuner: every trial ends, whatever becomes of its process."""

    def __init__(self, *args: Any, seed: int = 0, **kwargs: Any) -> None:
        # Its own limit would end the search at the third failure in a row.
        super().__init__(*args, seed=seed + 1, max_consecutive_failed_trials=10**9, **kwargs)
        self.deaths: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        self.interrupted: list[str] = []
        self.begun: dict[str, float] = {}
        self.stopped = False
        # The score that people read, where it is not the objective, and what it is without
        # memory.
        self.reported = ""
        self.baselines: dict[str, float] = {}
        # When no trial begins any more, by `time.monotonic`.
        self.deadline = math.inf
        # Whether workers without work stay, for the case that another one is lost.
        self.spares = False
        self.listener: Callable[[str, Any], None] = lambda kind, trial: None
        self.verbose = 0

    @property
    def ended(self) -> list[Any]:
        """Trials that completed or failed."""
        return [t for t in self.trials.values() if t.status in (COMPLETED, FAILED)]

    @property
    def completed(self) -> list[Any]:
        """Trials with a score, the best one first."""
        completed = [t for t in self.trials.values() if t.status == COMPLETED]
        # The order of the trials decides where scores are equal.
        completed.sort(key=number_of)
        return sorted(completed, key=lambda t: t.score, reverse=self.objective.direction == "max")

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Any:
        # Its worker was started anew, or it would have ended its trial first.
        self.lose(tuner_id)
        if self.time_is_up:
            self.tuner_ids.discard(tuner_id)
            self.stopped = True
            return keras_tuner.engine.trial.Trial(self.get_space(), status="STOPPED")
        trial = super().create_trial(tuner_id)
        if trial.status == RUNNING:
            self.begun[trial.trial_id] = time.monotonic()
            self.listener("start", trial)
        elif trial.status == "STOPPED" and self.spares and self.ongoing_trials:
            trial.status = "IDLE"
            self.tuner_ids.add(tuner_id)
        elif trial.status == "STOPPED":
            self.stopped = True
        return trial

    @property
    def finished(self) -> bool:
        """Whether every trial has ended and every worker was told so."""
        left = self._retry_queue and not self.time_is_up
        return self.stopped and not (self.ongoing_trials or left or self.tuner_ids)

    @property
    def time_is_up(self) -> bool:
        """Whether the time for the search is over."""
        return time.monotonic() > self.deadline

    @keras_tuner.synchronized
    def lose(self, tuner_id: str, died: bool = True) -> None:
        """The process of this worker is gone: its trial runs again, or has failed.

        `died` is False where somebody told the process to stop: that is not the trial's doing.
        """
        trial = self.ongoing_trials.pop(tuner_id, None)
        self.tuner_ids.discard(tuner_id)
        if trial is not None and died:
            self._died(trial)
        elif trial is not None:
            self._again(trial)
        if trial is not None:
            self.save()

    @keras_tuner.synchronized
    def retry_failed(self) -> list[str]:
        """Run all failed trials again; returns their numbers."""
        failed = [
            t for t in self.trials.values() if t.status == FAILED and t.hyperparameters.values
        ]
        failed.sort(key=number_of)
        for trial in reversed(failed):  # the queue gives the last one first
            name = trial.trial_id
            trial.status, trial.message, trial.score = RUNNING, None, None
            for record in (self.deaths, self.seconds, self._run_times):
                record.pop(name, None)
            self.end_order = [other for other in self.end_order if other != name]
            (Path(self._get_trial_dir(name)) / ERROR_FILE).unlink(missing_ok=True)
            self._again(trial)
        # The queue first: a trial that runs and is in no queue counts as not begun.
        self.save()
        for trial in failed:
            self._save_trial(trial)
        return [trial.trial_id for trial in failed]

    def _died(self, trial: Any) -> None:
        count = self.deaths[trial.trial_id] = self.deaths.get(trial.trial_id, 0) + 1
        if count < 2:
            self._again(trial)
            self.listener("lost", trial)
            return
        trial.status, trial.message = FAILED, f"{DIED}\n"
        self.end_order.append(trial.trial_id)
        self._save_trial(trial)
        self.listener("end", trial)

    def _again(self, trial: Any) -> None:
        # The scores of two runs would be averaged.
        trial.metrics = type(trial.metrics)()
        self._retry_queue.append(trial.trial_id)

    @keras_tuner.synchronized
    def end_trial(self, trial: Any) -> None:
        known = self.trials[trial.trial_id]
        if known is not trial and known.status != RUNNING:
            return  # it was given up for lost, and has ended elsewhere
        if trial.trial_id in self._retry_queue:
            self._retry_queue.remove(trial.trial_id)
        # The way to another process rounds numbers and loses messages.
        trial.hyperparameters.values.update(known.hyperparameters.values)
        if trial.status != COMPLETED and not trial.message:
            path = Path(self._get_trial_dir(trial.trial_id)) / ERROR_FILE
            trial.message = path.read_text("utf-8") if path.exists() else "no reason was given\n"
        begun = self.begun.pop(trial.trial_id, None)
        if begun is not None:
            self.seconds[trial.trial_id] = time.monotonic() - begun
        super().end_trial(trial)
        if known.status == FAILED and not known.message:
            known.message = "its score is no number\n"
            self._save_trial(known)
        # Its own `end_trial` saves before it takes the trial from those that run.
        self.save()
        self.listener("end", known)

    @keras_tuner.synchronized
    def interrupt(self) -> None:
        """Whoever runs the search stops it: trials that are running did not die."""
        self.interrupted = [t.trial_id for t in self.ongoing_trials.values()]
        self.save()

    def reload(self) -> None:
        self._were_ongoing: list[str] = []
        for path in Path(self._project_dir).glob("trial_*/trial.json"):
            self._mend(path)
        super().reload()
        stopped, self.interrupted = set(self.interrupted), []
        for trial in list(self.trials.values()):
            name = trial.trial_id
            if name in self._were_ongoing:
                self._retry_queue.remove(name)
                if trial.status != RUNNING:  # killed between the two files
                    self.end_order += [name] if name not in self.end_order else []
                elif name in stopped:
                    self._again(trial)
                else:
                    self._died(trial)
            elif trial.status == RUNNING and name not in self._retry_queue:
                # Killed before it began: the oracle will choose the same again.
                del self.trials[name]
                shutil.rmtree(self._get_trial_dir(name), ignore_errors=True)
        self.save()

    def _mend(self, path: Path) -> None:
        """A trial whose file is cut is one that has failed: its settings are not known."""
        try:
            if isinstance(json.loads(path.read_text("utf-8")), dict):
                return
        except ValueError:
            pass
        name = path.parent.name.removeprefix("trial_")
        lost = keras_tuner.engine.trial.Trial(
            keras_tuner.HyperParameters(), trial_id=name, status=FAILED
        )
        lost.message = "its file was cut\n"
        self._save_trial(lost)

    def get_state(self) -> dict[str, Any]:
        accounting = {
            "deaths": self.deaths,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
        }
        return {**super().get_state(), "accounting": accounting}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._were_ongoing = list(state["ongoing_trials"].values())
        for name, value in state.get("accounting", {}).items():
            setattr(self, name, value)

    def save(self) -> None:
        write_atomically(Path(self._get_oracle_fname()), json.dumps(self.get_state()).encode())

    def _save_trial(self, trial: Any) -> None:
        path = Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
        write_atomically(path, json.dumps(trial.get_state()).encode())


class RandomOracle(Accounting, keras_tuner.oracles.RandomSearchOracle):
    """Random settings."""


class BayesianOracle(Accounting, keras_tuner.oracles.BayesianOptimizationOracle):
    """Settings by a Gaussian process, after some random ones."""


class HyperbandOracle(Accounting, keras_tuner.oracles.HyperbandOracle):
    """Many settings for few epochs, the best of them for more."""


class GridOracle(Accounting, keras_tuner.Oracle):
    """All settings, or some of them drawn without repeats where there are too many."""

    _grid: tuple[int, list[dict[str, Any]]] | None = None

    def settings(self) -> list[dict[str, Any]]:
        """All settings of the space, in the order in which they are tried.

        Raises:
            ValueError: there are more than anybody would try.
        """
        space = self.hyperparameters.space
        if self._grid is None or self._grid[0] != len(space):
            settings = list(itertools.islice(_walk(space), GRID_LIMIT + 1))
            if len(settings) > GRID_LIMIT:
                raise ValueError(
                    f"the grid has more than {GRID_LIMIT:,} settings: fix more parameters, or "
                    "give lists or ranges with a step"
                )
            if self.max_trials and self.max_trials < len(settings):
                random.Random(self.seed).shuffle(settings)
            self._grid = len(space), settings
        return self._grid[1]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        tried = {_key(t.hyperparameters.values) for t in self.trials.values()}
        for values in self.settings():
            if _key(values) not in tried:
                return {"status": RUNNING, "values": dict(values)}
        return {"status": "STOPPED", "values": None}


def _key(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


def _walk(space: list[Any]) -> Iterator[dict[str, Any]]:
    """Every combination of values, with the parameters only that exist in it."""
    hp = keras_tuner.HyperParameters()
    hp.merge(space)

    def onwards(k: int, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if k == len(space):
            yield values
            return
        hp.values = values
        if not hp.is_active(space[k]):
            yield from onwards(k + 1, values)
            return
        options = list(space[k].values)
        if not isinstance(options[0], str):  # a range's come in no order
            options.sort()
        for value in options:
            yield from onwards(k + 1, {**values, space[k].name: value})

    yield from onwards(0, {})


def hyperband_plan(epochs: int, factor: int) -> list[tuple[int, int]]:
    """What one round of Hyperband runs: (trials, epochs of each) of every step."""
    brackets, left = 0, float(epochs)
    while left >= 1:
        left /= factor
        brackets += 1
    last = math.ceil(1 + math.log(epochs, factor))
    plan = []
    for bracket in reversed(range(brackets)):
        before = 0
        for step in range(bracket + 1):
            trials = -(-(factor ** (bracket - step)) * last // (bracket + 1))
            until = -(-epochs // factor ** (bracket - step))
            plan.append((trials, until - before))
            before = until
    return plan
