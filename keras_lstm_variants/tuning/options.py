"""What `klv tune` knows of its options before TensorFlow is imported."""

import argparse
import os
import re
from typing import Any

from keras_lstm_variants._cli.arguments import task_of, variants_of, whole_number, whole_numbers
from keras_lstm_variants._cli.errors import UsageError
from keras_lstm_variants._cli.work_folder import path_of
from keras_lstm_variants.tuning.ranges import parse, space_of

HEADS = ("classification", "regression", "next_step", "labels", "values")
ALGORITHMS = ("random", "hyperband", "bayesian", "grid")

# Parameters of the search, with the kind of their values.
PARAMETERS = {
    "layers": int,
    "units": int,
    "bidirectional": bool,
    "dropout": float,
    "recurrent_dropout": float,
    "embedding": int,
    "learning_rate": float,
    "clipnorm": float,
    "batch_size": int,
}


# What their values may be: beyond it nothing could be trained.
BOUNDS: dict[str, dict[str, float]] = {
    "layers": {"least": 1, "most": 100},
    "units": {"least": 1, "most": 100_000},
    "bidirectional": {},
    "dropout": {"least": 0, "below": 1},
    "recurrent_dropout": {"least": 0, "below": 1},
    "embedding": {"least": 1, "most": 100_000},
    "learning_rate": {"least": 1e-12, "most": 1e3},
    "clipnorm": {"least": 0, "most": 1e18},
    "batch_size": {"least": 1, "most": 1_000_000},
    "forget_bias": {"least": -1e6, "most": 1e6},
}

# Whole numbers, each with the largest.
COUNTS = {
    "max_trials": 1_000_000,
    "epochs": 1_000_000,
    "executions_per_trial": 1_000,
    "workers": 1_000,
    "replicas": 1_000,
    "steps": 1_000_000,
    "threads": 10_000,
    "length": 1_000_000,
}
# What NumPy and scikit-learn take.
MOST_SEED = 2**32 - 2


def check(arguments: argparse.Namespace) -> None:
    """Check what needs neither the data nor TensorFlow.

    Raises:
        ValueError: with one line for the user.
    """
    path_of("--directory", arguments.directory)
    if arguments.tensorboard is not None:
        path_of("--tensorboard", arguments.tensorboard)
    whole_numbers(arguments, COUNTS)
    whole_number("--seed", arguments.seed, MOST_SEED, least=0)
    seconds_of(arguments)
    spaces(arguments)
    variants_of(arguments.variants)
    if arguments.data is None:
        if arguments.head is not None:
            raise UsageError("--head goes with --data: a task has its own")
        task_of(arguments)
        if arguments.text is not None:
            _check_readable("--text", os.path.expanduser(arguments.text))
        return
    for name in ("task", "text", "length"):
        if getattr(arguments, name) is not None:
            raise UsageError(f"--data and --{name} do not go together")
    if arguments.head not in (None, *HEADS):
        raise UsageError(f"--head must be one of {', '.join(HEADS)}. Received: {arguments.head!r}")
    _check_readable("--data", arguments.data)


def _check_readable(option: str, path: str) -> None:
    try:
        with open(path_of(option, path), "rb"):
            pass
    except OSError as error:
        raise UsageError(f"{option} {path!r}: cannot be read ({error.strerror or error})") from None


def seconds_of(arguments: argparse.Namespace) -> float | None:
    """`--max-time`: `90s`, `30m`, `1.5h` or `2d` in seconds."""
    text = arguments.max_time
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])", text)
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]] if match else 0
    if not seconds:
        raise UsageError(
            f"--max-time must be a number above 0 with s, m, h or d, as 30m. Received: {text!r}"
        )
    return seconds


def spaces(arguments: argparse.Namespace) -> dict[str, Any]:
    """The parameters that are given, as `RecurrentHyperModel` takes them."""
    given = {}
    for name, kind in PARAMETERS.items():
        if (text := getattr(arguments, name)) is not None:
            given[name] = parse(f"--{name.replace('_', '-')}", text, kind)
            space_of(name, given[name], kind, **BOUNDS[name])
    return given
