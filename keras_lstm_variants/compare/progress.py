"""A live line for each run at a terminal, plain lines now and then elsewhere."""

import shutil
import sys
import time
from typing import Any, TextIO

from keras_lstm_variants.compare.report import number
from keras_lstm_variants.compare.settings import Run

# Seconds between two lines of one run where lines cannot be rewritten.
_QUIET = 15.0


class Progress:
    """Prints what the scheduler reports.

    Args:
        total: number of runs to train.
        epochs: epochs of each run.
        stream: where to print.
    """

    def __init__(self, total: int, epochs: int, stream: TextIO | None = None) -> None:
        self.total, self.epochs = total, epochs
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.active: dict[Run, str] = {}
        self.started: dict[Run, float] = {}
        self.printed: dict[Run, float] = {}
        self.finished = 0
        self.drawn = 0

    def __call__(self, kind: str, run: Run, value: Any) -> None:
        now = time.monotonic()
        label = f"{run.variant} seed {run.seed}"
        if kind == "start":
            self.started[run] = self.printed[run] = now
            self.active[run] = f"{label}: starting"
            self._draw()
        elif kind == "progress":
            left = (now - self.started[run]) / value["epoch"] * (self.epochs - value["epoch"])
            scores = f"validation {number(value['valid'])}, best {number(value['best'])}"
            epoch = f"epoch {value['epoch']}/{self.epochs}"
            self.active[run] = f"{label}: {epoch}, {scores}, about {left:.0f} s left"
            if self.live:
                self._draw()
            elif now - self.printed[run] > _QUIET:
                self.printed[run] = now
                print(self.active[run], file=self.stream, flush=True)
        else:
            self.finished += 1
            self.active.pop(run)
            end = (
                f"validation {number(value['valid'])}, test {number(value['test'])}, "
                f"{value['seconds']:.0f} s"
                if kind == "done"
                else f"FAILED: {value}"
            )
            self._clear()
            line = f"[{self.finished}/{self.total}] {label}: {end}"
            print(line, file=self.stream, flush=True)
            self._draw()

    def _clear(self) -> None:
        if self.drawn:
            self.stream.write(f"\x1b[{self.drawn}A\x1b[J")
            self.drawn = 0

    def _draw(self) -> None:
        if self.live:
            self._clear()
            # A line that wraps would count as two when it is cleared.
            width = shutil.get_terminal_size().columns - 1
            for line in self.active.values():
                self.stream.write(line[:width] + "\n")
            self.drawn = len(self.active)
            self.stream.flush()
