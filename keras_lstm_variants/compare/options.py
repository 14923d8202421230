"""What `klv compare` was asked for, checked as far as needs neither data nor TensorFlow."""

import argparse
import math
from typing import Any

from keras_lstm_variants import tasks
from keras_lstm_variants._cli.arguments import add_task, add_variants, task_of, whole_numbers
from keras_lstm_variants._cli.errors import UsageError
from keras_lstm_variants.compare.settings import Settings, defaults
from keras_lstm_variants.core import checks
from keras_lstm_variants.tasks.text import shares_of

DEFAULT_VARIANTS = ("LSTM", "PeepholeLSTM", "CoupledLSTM", "GRU")

# The largest values that make any sense: beyond them is a slip.
_MOST = {
    "units": checks.MOST_UNITS,
    "layers": 1_000,
    "epochs": 1_000_000,
    "seeds": 10_000,
    "jobs": 1_000,
    "batch_size": 1_000_000,
    "steps": 1_000_000,
}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The options that decide what is trained."""
    add_variants(parser, DEFAULT_VARIANTS)
    add_task(parser)
    add = parser.add_argument
    add("--split", metavar="T/V/S", help="percent of --text to train, validate, test on (80/10/10)")
    add("--units", type=int, help="units of each recurrent layer (default: 128 for text, else 64)")
    add("--layers", type=int, help="recurrent layers (default: 1)")
    add("--dropout", type=float, metavar="P", help="of the last layer's output (default: 0)")
    add("--forget-bias", metavar="B", help="a number, or chrono (default: each variant's usual)")
    add("--epochs", type=int, help="passes over the training data (default: by task)")
    add("--batch-size", type=int, metavar="N", help="sequences in a batch (default: 32)")
    add("--steps", type=int, metavar="N", help="characters in a sequence of text (default: 50)")
    add("--learning-rate", type=float, metavar="R", help="Adam's highest (default: by task)")
    add("--seeds", type=int, default=1, metavar="N", help="runs of each variant (default: 1)")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Checked settings.

    Raises:
        ValueError: with one line for the user.
    """
    whole_numbers(arguments, _MOST)
    task = _task_of(arguments)
    chosen = {
        "units": arguments.units,
        "layers": arguments.layers,
        "epochs": arguments.epochs,
        "batch": arguments.batch_size,
        "steps": arguments.steps,
        "dropout": arguments.dropout,
        "learning_rate": arguments.learning_rate,
    }
    settings = Settings(
        **{
            **defaults(task, quick=arguments.quick),
            **{name: value for name, value in chosen.items() if value is not None},
            "task": task,
            "text": arguments.text,
            "split": split_of(arguments.split),
            "forget_bias": forget_bias_of(arguments.forget_bias),
            "jit": arguments.jit,
        }
    )
    if not 0 <= settings.dropout < 1:
        raise UsageError(
            "--dropout must be a number from 0 up to, but not including, 1. "
            f"Received: {arguments.dropout}"
        )
    if not 0 < settings.learning_rate <= 1000:
        raise UsageError(
            "--learning-rate must be a number above 0, and at most 1,000. "
            f"Received: {arguments.learning_rate}"
        )
    return settings


def _task_of(arguments: argparse.Namespace) -> str:
    """The name of the task; options that do not go with it are errors."""
    task = task_of(arguments)
    if arguments.split is not None and task != "text":
        raise UsageError("--split goes with --text: the other tasks are split already")
    if arguments.steps is not None and task not in ("docs_text", "text"):
        raise UsageError(f"--steps is for text: the sequences of {task!r} have their length")
    return task


def forget_bias_of(text: str | None) -> float | str | None:
    """A number, "chrono", or None."""
    if text is None or text == "chrono":
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= 1000:
        raise UsageError(
            f"--forget-bias must be a number from -1000 to 1000, or chrono. Received: {text!r}"
        )
    return value


def split_of(text: str | None) -> str | None:
    """Three shares in percent in their shortest form; None for the usual ones."""
    if text is None:
        return None
    split = "/".join(f"{float(share):g}" for share in shares_of(text))
    return None if split == "80/10/10" else split


def check_batches(settings: Settings, task: tasks.Task) -> None:
    """A `UsageError` unless the task holds one batch to train on."""
    if settings.sequences(task) >= settings.batch:
        return
    if task.kind == "next_symbol":
        raise UsageError(
            f"A batch of --batch-size {settings.batch} sequences of --steps {settings.steps} is "
            f"more than the {len(task.train):,} characters to train on"
        )
    raise UsageError(
        f"--batch-size must be at most {len(task.train[0]):,}, the sequences to train on. "
        f"Received: {settings.batch}"
    )


def options_only(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, without what only the command needs."""
    return {k: v for k, v in vars(arguments).items() if k not in ("run", "parser")}
