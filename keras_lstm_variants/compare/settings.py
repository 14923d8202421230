"""What a comparison fixes for all of its runs, and the defaults of each task."""

import dataclasses
from typing import Any

from keras_lstm_variants.tasks import Task


@dataclasses.dataclass(frozen=True)
class Settings:
    """Equal conditions: everything that decides a run but its variant and its seed.

    Attributes:
        task: name of the task.
        text: path of the user's own text, or None.
        units: units of each recurrent layer.
        layers: number of recurrent layers.
        epochs: passes over the training split.
        batch: sequences in a batch.
        steps: time steps in a training sequence, for the text tasks.
        embedding: size of the symbols' vectors, for the text tasks.
        learning_rate: peak of Adam's learning rate, which rises and then falls to 0.
        dropout: dropped fraction of the last layer's output.
        forget_bias: None (each variant's usual one), a number, or "chrono".
        jit: whether XLA compiles the model.
        split: percent of the text to train, validate and test on; None for 80/10/10.
    """

    task: str = "docs_text"
    text: str | None = None
    units: int = 128
    layers: int = 1
    epochs: int = 12
    batch: int = 32
    steps: int = 50
    embedding: int = 32
    learning_rate: float = 1e-2
    dropout: float = 0.0
    forget_bias: float | str | None = None
    jit: bool = True
    split: str | None = None

    def identity(self, data_sha256: str) -> dict[str, Any]:
        """What must be equal for runs to stand in one table. A text counts by its content."""
        return {**self.known_identity(), "data_sha256": data_sha256}

    def known_identity(self) -> dict[str, Any]:
        """The part of it that needs no data."""
        return {**dataclasses.asdict(self), "text": None}

    def length(self, task: Task) -> int:
        """Time steps of a training sequence."""
        return self.steps if task.kind == "next_symbol" else task.train[0].shape[1]

    def sequences(self, task: Task) -> int:
        """How many sequences there are to train on."""
        if task.kind == "next_symbol":
            return (len(task.train) - 1 - self.steps) // self.steps
        return len(task.train[0])


@dataclasses.dataclass(frozen=True)
class Run:
    """One training: a variant and the seed of its weights and of its batches."""

    variant: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.variant}-seed{self.seed}"


# Sized so that the default comparison of four variants ends within 5 minutes on 2 cores,
# each of them better than its baseline; `quick` is a look in under 30 seconds.
_TASKS = {
    "docs_text": {},
    "text": {},
    "adding": {"units": 64, "epochs": 20, "learning_rate": 5e-3},
    "digits": {"units": 64, "epochs": 60, "learning_rate": 5e-3},
}
_QUICK = {
    "docs_text": {"units": 64, "epochs": 1, "steps": 25},
    "text": {"units": 64, "epochs": 1, "steps": 25},
    "adding": {"units": 32, "epochs": 3},
    "digits": {"units": 32, "epochs": 10},
}


def defaults(task: str, *, quick: bool = False) -> dict[str, Any]:
    """The settings of a task that differ from `Settings`' own defaults."""
    return {**_TASKS[task], **(_QUICK[task] if quick else {})}
