"""What `klv compare` was asked for, checked as far as needs neither data nor TensorFlow."""

import argparse
import math
import re
from fractions import Fraction
from typing import Any

from keras_lstm_variants import _checks, _loading, tasks
from keras_lstm_variants.compare.settings import Settings, defaults

DEFAULT_VARIANTS = ("LSTM", "PeepholeLSTM", "CoupledLSTM", "GRU")

# The largest values that make any sense: beyond them is a slip.
_MOST = {
    "units": _checks.MOST_UNITS,
    "layers": 1_000,
    "epochs": 1_000_000,
    "seeds": 10_000,
    "jobs": 1_000,
    "batch_size": 1_000_000,
    "steps": 1_000_000,
}


class UsageError(ValueError):
    """An argument cannot be used; the message is one line for the user."""


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The options that decide what is trained."""
    add = parser.add_argument
    add(
        "--variants",
        default=",".join(DEFAULT_VARIANTS),
        help="names separated by commas, or 'all' (default: %(default)s)",
    )
    add("--task", default=None, help=f"{', '.join(tasks.TASKS)} (default: docs_text)")
    add("--text", metavar="FILE", help="predict the characters of your own UTF-8 text")
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


def whole_number(option: str, value: int, most: int) -> int:
    """`value`, or a `UsageError` unless it is from 1 to `most`."""
    if not 1 <= value <= most:
        raise UsageError(f"{option} must be a whole number from 1 to {most:,}. Received: {value}")
    return value


def variants_of(text: str) -> list[str]:
    """The variants that `--variants` names."""
    if text == "all":
        return list(_loading.variants())
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"--variants {text!r} names no variant")
    try:
        return list(dict.fromkeys(map(_loading.find_variant, names)))
    except ValueError as error:
        raise UsageError(str(error)) from error


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Checked settings.

    Raises:
        UsageError, tasks.TaskError: with one line for the user.
    """
    for name, most in _MOST.items():
        if (value := getattr(arguments, name)) is not None:
            whole_number(f"--{name.replace('_', '-')}", value, most)
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
    task = arguments.task
    if task is None:
        task = "docs_text" if arguments.text is None else "text"
    if arguments.text is not None and task == "docs_text":
        task = "text"
    tasks.check(task, text_file=arguments.text)
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
    parts = text.split("/")
    if all(re.fullmatch(r"\d{1,3}(\.\d{1,6})?", part, re.ASCII) for part in parts):
        shares = [Fraction(part) for part in parts]
        if len(shares) == 3 and min(shares) > 0 and sum(shares) == 100:
            found = "/".join(f"{float(share):g}" for share in shares)
            return None if found == "80/10/10" else found
    raise UsageError(
        "--split must be three numbers above 0 that sum up to 100, as 80/10/10: percent to train, "
        f"to validate and to test on. Received: {text!r}"
    )


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


def in_options(message: str) -> str:
    """A message of `tasks` in the words of the command line."""
    message = message.replace("text_file=...", "--text FILE")
    message = message.replace("(a text_file)", "(with --text FILE)")
    for name, option in (("task name", "--task"), ("text_file", "--text"), ("split", "--split")):
        message = message.replace(f"{name}=", f"{option} ")
    return message


def options_only(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, without what only the command needs."""
    return {k: v for k, v in vars(arguments).items() if k not in ("run", "parser")}
