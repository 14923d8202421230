"""Data sets for comparing recurrent cells, each with the floors a cell has to beat."""

from __future__ import annotations

import difflib
import os

from .adding import adding_task
from .digits import digits_task
from .task import Task, TaskError, whole_number
from .text import docs_text, text_from_file

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
        TaskError: with one line that names the argument, its value and what is allowed.
    """
    check(name, text_file=text_file)
    seed = whole_number("seed", seed, 0)
    if length is not None and name != "adding":
        raise TaskError(
            f"length={length!r} is not allowed with task {name!r}: only 'adding' has a length"
        )
    if text_file is not None:
        return text_from_file(text_file, split)
    if name == "adding":
        return adding_task(length, seed)
    return digits_task(seed) if name == "digits" else docs_text()


def check(name: str, *, text_file: str | os.PathLike[str] | None = None) -> None:
    """A `TaskError` unless there is a task `name` that goes with `text_file`, which is not read."""
    if name not in TASKS and name != "text":
        raise TaskError(_unknown(name))
    if text_file is not None and name not in ("docs_text", "text"):
        raise TaskError(
            f"text_file={text_file!r} is not allowed with task {name!r}: "
            "use it with 'docs_text' or 'text'"
        )
    if text_file is None and name == "text":
        raise TaskError("task 'text' needs text_file=..., a UTF-8 text; or use 'docs_text'")


def _unknown(name: object) -> str:
    """The message for a name that is not a task, with the nearest names first."""
    near = difflib.get_close_matches(str(name).lower(), (*TASKS, "text"), n=2)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"unknown task name={name!r}: {hint}allowed are {', '.join(TASKS)}, text (a text_file)"
