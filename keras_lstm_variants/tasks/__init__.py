"""Data sets for comparing recurrent cells, each with the baselines that a cell has to beat."""

import os

from keras_lstm_variants.core import checks
from keras_lstm_variants.tasks.adding import adding_task
from keras_lstm_variants.tasks.digits import digits_task
from keras_lstm_variants.tasks.task import Task, TaskError
from keras_lstm_variants.tasks.text import docs_text, text_from_file

__all__ = ["TASKS", "Task", "TaskError", "load"]

TASKS = ("docs_text", "adding", "digits")


def load(
    name: str,
    *,
    text_file: str | os.PathLike[str] | None = None,
    length: int | None = None,
    seed: int = 0,
    split: str | None = None,
) -> Task:
    """Load one task.

    Args:
        name: one of `TASKS`. With `text_file`, "docs_text" or "text".
        text_file: a UTF-8 text of the user's own; the task is then called "text".
        length: time steps of the sequences, for "adding" only (default 50).
        seed: draws the sequences of "adding" and the split of "digits"; the text tasks are
            split without chance.
        split: how a `text_file` is cut: percent to train, validate and test on, as "80/10/10",
            which is the default.

    Raises:
        ValueError: an argument is not as above; the line names it, its value and what is allowed.
        TaskError: a ValueError, too: the file cannot be used, or a package is missing.

    Example:
        >>> from keras_lstm_variants import tasks
        >>> task = tasks.load("adding", length=10)
        >>> task.train[0].shape, task.target
        ((8000, 10, 2), 'linear')
    """
    check(name, text_file=text_file)
    seed = checks.whole_number("seed", seed)
    if length is not None and name != "adding":
        raise ValueError(
            f"`length` must be None for the task {name!r}: only 'adding' has a length. "
            f"Received: length={length!r}"
        )
    if split is not None and text_file is None:
        raise ValueError(
            "`split` must be None without `text_file`: the other tasks are split already. "
            f"Received: split={split!r}"
        )
    if text_file is not None:
        return text_from_file(text_file, split)
    if name == "adding":
        return adding_task(length, seed)
    return digits_task(seed) if name == "digits" else docs_text()


def check(name: str, *, text_file: str | os.PathLike[str] | None = None) -> None:
    """A `ValueError` unless there is such a task and it goes with `text_file`, which is not read.

    Raises:
        ValueError: with one line that names the argument, its value and what is allowed.
    """
    checks.one_of("name", name, (*TASKS, "text"))
    if text_file is not None and name not in ("docs_text", "text"):
        raise ValueError(
            f"`text_file` must be None for the task {name!r}: it goes with 'docs_text' or 'text'. "
            f"Received: text_file={text_file!r}"
        )
    if text_file is None and name == "text":
        raise ValueError(
            "`text_file` must be given for the task 'text', a UTF-8 text; or use 'docs_text'. "
            "Received: text_file=None"
        )
