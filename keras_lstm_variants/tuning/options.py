"""What `klv tune` knows of its options before TensorFlow is imported."""

import re

HEADS = ("classification", "regression", "next_step", "labels")
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


class UsageError(ValueError):
    """An argument cannot be used; the message is one line for the user."""


def in_options(message: str) -> str:
    """A message about arguments of Python in the words of the command line."""
    names = (("task name=", "--task "), ("text_file=...", "--text FILE"), ("text_file=", "--text "))
    for name, option in names:
        message = message.replace(name, option)
    return re.sub(r"`(\w+)`", lambda found: "--" + found[1].replace("_", "-"), message)
