"""A live line for each run at a terminal, plain lines now and then elsewhere."""

import time
from typing import Any, TextIO

from keras_lstm_variants._lines import LiveLines
from keras_lstm_variants.compare.report import number
from keras_lstm_variants.compare.settings import Run


class Progress(LiveLines):
    """Prints what the scheduler reports.

    Args:
        total: number of runs to train.
        epochs: epochs of each run.
        stream: where to print.
    """

    def __init__(self, total: int, epochs: int, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self.total, self.epochs = total, epochs
        self.started: dict[Run, float] = {}
        self.finished = 0

    def __call__(self, kind: str, run: Run, value: Any) -> None:
        now = time.monotonic()
        label = f"{run.variant} seed {run.seed}"
        if kind == "start":
            self.started[run] = now
            self.start(run, f"{label}: starting")
        elif kind == "progress":
            left = (now - self.started[run]) / value["epoch"] * (self.epochs - value["epoch"])
            scores = f"validation {number(value['valid'])}, best {number(value['best'])}"
            epoch = f"epoch {value['epoch']}/{self.epochs}"
            self.update(run, f"{label}: {epoch}, {scores}, about {left:.0f} s left")
        else:
            self.finished += 1
            end = (
                f"validation {number(value['valid'])}, test {number(value['test'])}, "
                f"{value['seconds']:.0f} s"
                if kind == "done"
                else f"FAILED: {value}"
            )
            self.end(run, f"[{self.finished}/{self.total}] {label}: {end}")
