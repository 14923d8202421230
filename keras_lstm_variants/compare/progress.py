"""A live line for each run at a terminal, plain lines now and then elsewhere."""

import heapq
import time
from typing import Any, TextIO

from keras_lstm_variants._cli.progress_lines import LiveLines
from keras_lstm_variants._cli.tables import number
from keras_lstm_variants.compare.settings import Run

_ALL = "all runs"


class Progress(LiveLines):
    """Prints what the pool of workers reports, and one estimate for the whole.

    Args:
        total: number of runs to train.
        epochs: epochs of each run.
        jobs: runs at a time.
        stream: where to print.
    """

    def __init__(
        self, total: int, epochs: int, jobs: int = 1, stream: TextIO | None = None
    ) -> None:
        super().__init__(stream)
        self.total, self.epochs, self.jobs = total, epochs, jobs
        # Of running runs: epochs done so far. Of all: seconds of an epoch, and from the start
        # to the first of them.
        self.done: dict[Run, float] = {}
        self.epoch_seconds: dict[Run, float] = {}
        self.starting: dict[Run, float] = {}
        self.started: dict[Run, float] = {}
        self.scores: dict[Run, str] = {}
        self.finished = 0
        self.printed[_ALL] = time.monotonic()

    def __call__(self, kind: str, run: Run, value: Any) -> None:
        label = f"{run.variant} seed {run.seed}"
        self.active.pop(_ALL, None)  # it comes last, and not at all in the end
        if kind == "start":
            self.started[run], self.done[run] = time.monotonic(), 0.0
            self.start(run, f"{label}: starting TensorFlow and reading the data")
        elif kind == "progress" and "stage" in value:
            self.update(run, f"{label}: {value['stage']}")
        elif kind == "progress":
            self._note_time(run, value)
            if "valid" in value:
                scores = f"validation {number(value['valid'])}, best {number(value['best'])}"
                self.scores[run] = f", {scores}"
            current = min(int(value["epochs"]) + 1, self.epochs)
            percent = 100 * (value["epochs"] - current + 1)
            epoch = f"epoch {current}/{self.epochs}, {percent:.0f} %"
            self.update(run, f"{label}: {epoch}{self.scores.get(run, '')}")
        else:
            self.finished += 1
            self.done.pop(run, None)
            end = (
                f"validation {number(value['valid'])}, test {number(value['test'])}, "
                f"{value['seconds']:.0f} s"
                if kind == "done"
                else f"FAILED: {value}"
            )
            self.end(run, f"[{self.finished}/{self.total}] {label}: {end}")
        self._show_estimate()

    def _note_time(self, run: Run, value: dict[str, Any]) -> None:
        self.done[run] = value["epochs"]
        self.epoch_seconds[run] = value["epoch_seconds"]
        if run not in self.starting:
            trained = value["epochs"] * value["epoch_seconds"]
            self.starting[run] = max(0.0, time.monotonic() - self.started[run] - trained)

    def left(self) -> float | None:
        """Seconds until all runs have ended; None before the first has begun to train."""
        if not self.epoch_seconds:
            return None
        usual = _mean(self.epoch_seconds.values())
        starting = _mean(self.starting.values())
        busy = []
        for run, done in self.done.items():
            rest = (self.epochs - done) * self.epoch_seconds.get(run, usual)
            if run not in self.starting:
                rest += max(0.0, starting - (time.monotonic() - self.started[run]))
            busy.append(rest)
        busy += [0.0] * (self.jobs - len(busy))
        heapq.heapify(busy)
        for _ in range(self.total - self.finished - len(self.done)):
            heapq.heapreplace(busy, busy[0] + starting + self.epochs * usual)
        return max(busy)

    def _show_estimate(self) -> None:
        left = self.left()
        if left is not None and self.finished < self.total:
            self.update(_ALL, f"{self.finished} of {self.total} runs done, about {left:.0f} s left")


def _mean(values: Any) -> float:
    return sum(values) / max(1, len(values))
