"""Options and parsers that several commands have."""

import argparse
import contextlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from keras_lstm_variants import _loading, tasks
from keras_lstm_variants._cli.errors import UsageError


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    description: str | None = None,
) -> argparse.ArgumentParser:
    """The parser of a command, with the options that every command has."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description or f"Show {summary}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="import your module first, for the variants that it registers",
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_variants(parser: Any, default: Sequence[str]) -> None:
    parser.add_argument(
        "--variants",
        default=",".join(default),
        help="names separated by commas, in any case, or 'all' (default: %(default)s)",
    )


def add_task(parser: Any) -> None:
    parser.add_argument("--task", help=f"{', '.join(tasks.TASKS)} (default: docs_text)")
    parser.add_argument(
        "--text", metavar="FILE", help="predict the characters of your own UTF-8 text"
    )


def joined(argv: Sequence[str]) -> list[str]:
    """`--forget-bias -1:5` as `--forget-bias=-1:5`: argparse takes the value for an option."""
    arguments: list[str] = []
    for argument in argv:
        if arguments and arguments[-1].startswith("--") and re.match(r"-[\d.]+[:,]", argument):
            arguments[-1] += f"={argument}"
        else:
            arguments.append(argument)
    return arguments


def import_modules(modules: Sequence[str]) -> None:
    """Import the user's modules, also from the current folder, as `python -m` does.

    Raises:
        UsageError: one of them cannot be imported.
    """
    with contextlib.suppress(OSError):  # the folder is gone
        if os.getcwd() not in sys.path and "" not in sys.path:
            sys.path.append(os.getcwd())
    for module in modules:
        try:
            _loading.load()
            importlib.import_module(module)
        except Exception as error:
            raise UsageError(f"--import {module}: {type(error).__name__}: {error}") from error


def variants_of(text: str) -> list[str]:
    """The variants that `--variants` names.

    Raises:
        UsageError: no variant, or a name that is none.
    """
    if text == "all":
        return list(_loading.variants())
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"--variants {text!r} names no variant")
    try:
        return list(dict.fromkeys(map(_loading.find_variant, names)))
    except ValueError as error:
        raise UsageError(str(error)) from error


def task_of(arguments: argparse.Namespace) -> str:
    """The name of the task: `--text` alone stands for the task text.

    Raises:
        ValueError: there is no such task, or it does not go with `--text`.
    """
    task = "docs_text" if arguments.task is None else arguments.task
    if arguments.text is not None and task == "docs_text":
        task = "text"
    tasks.check(task, text_file=arguments.text)
    return task


def whole_number(option: str, value: int, most: int, least: int = 1) -> int:
    """`value`, or a `UsageError` unless it is from `least` to `most`."""
    if not least <= value <= most:
        raise UsageError(
            f"{option} must be a whole number from {least} to {most:,}. Received: {value}"
        )
    return value


def whole_numbers(arguments: argparse.Namespace, most: dict[str, int]) -> None:
    """Check the options that were given, each with its largest value."""
    for name, limit in most.items():
        if (value := getattr(arguments, name)) is not None:
            whole_number(f"--{name.replace('_', '-')}", value, limit)
