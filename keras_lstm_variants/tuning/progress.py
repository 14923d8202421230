"""What a search reports while it runs."""

import time
from typing import Any, TextIO

from keras_lstm_variants._cli.progress_lines import LiveLines
from keras_lstm_variants._cli.tables import number
from keras_lstm_variants.tuning.messages import best_so_far, chosen, ended, score_name
from keras_lstm_variants.tuning.settings import Search


def duration(seconds: float) -> str:
    """As a person says it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class Progress(LiveLines):
    """A line for the running trial, one for each that ended, the best so far and the time left.

    Args:
        search: what was asked for.
        oracle: with the trials so far.
        settings: how many settings a grid has.
        stream: where to print.
    """

    def __init__(
        self, search: Search, oracle: Any, settings: int | None, stream: TextIO | None = None
    ) -> None:
        super().__init__(stream)
        self.search, self.oracle = search, oracle
        self.trials, self.epochs = search.plan(settings)
        self.began = time.monotonic()
        self.done_before = sum(map(search.epochs_of, oracle.ended))
        self.done_here = 0
        self.running: dict[str, int] = {}

    def __call__(self, kind: str, trial: Any) -> None:
        """The oracle's report: "start", "lost" or "end"."""
        label = f"trial {trial.trial_id}"
        if kind == "start":
            self.running[label] = 0
            self.start(label, f"{label}: starting ({chosen(self.oracle, trial)})")
        elif kind == "lost":
            self.end(label, f"{label}: its process died; it runs once more")
        else:
            self.running.pop(label, None)
            self.done_here += self.search.epochs_of(trial)
            message = ended(self.oracle, trial, self._left())
            # A smaller number may be asked for than have begun.
            total = max(self.trials, len(self.oracle.trials))
            self.end(label, f"[{len(self.oracle.ended)}/{total}] {label}: {message}")

    def epoch(self, trial: Any, epoch: int, logs: dict[str, float]) -> None:
        """After an epoch of a trial in this process."""
        label = f"trial {trial.trial_id}"
        self.running[label] = self.running.get(label, 0) + 1
        name = score_name(self.oracle)
        total = self.search.epochs_of(trial)
        value = number(float(logs[name])) if name in logs else "-"
        line = f"{label}: epoch {self.running[label]}/{total}, {name} {value}"
        line += f", {best_so_far(self.oracle)}{self._left()}"
        self.update(label, f"{line} ({chosen(self.oracle, trial)})")

    def _left(self) -> str:
        here = self.done_here + sum(self.running.values())
        if not here:
            return ""
        each = (time.monotonic() - self.began) / here
        left = each * max(0, self.epochs - self.done_before - here)
        left = min(left, max(0.0, self.oracle.deadline - time.monotonic()))
        return f", about {duration(left)} left"
