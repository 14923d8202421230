"""The command `klv`, also `python -m keras_lstm_variants`."""

import argparse
import contextlib
import importlib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from keras_lstm_variants import _checks, _loading
from keras_lstm_variants._version import __version__
from keras_lstm_variants.bench import command as bench
from keras_lstm_variants.compare import command as compare
from keras_lstm_variants.compare.options import whole_number
from keras_lstm_variants.tuning import command as tune


def _joined(argv: Sequence[str]) -> list[str]:
    """`--forget-bias -1:5` as `--forget-bias=-1:5`: argparse takes the value for an option."""
    found: list[str] = []
    for argument in argv:
        if found and found[-1].startswith("--") and re.match(r"-[\d.]+[:,]", argument):
            found[-1] += f"={argument}"
        else:
            found.append(argument)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; None takes the process's.

    Returns:
        0; 1 if a run failed; 2 for bad input; 130 after Ctrl-C.
    """
    # A user's own module beside where the command is called, as with `python -m`.
    with contextlib.suppress(OSError):  # the folder is gone
        if os.getcwd() not in sys.path and "" not in sys.path:
            sys.path.append(os.getcwd())
    parser = argparse.ArgumentParser(
        prog="klv", description="LSTM variants for Keras 3 on TensorFlow."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    compare.add_parser(commands)
    tune.add_parser(commands)
    bench.add_parser(commands)
    _add_list(commands)
    _add_describe(commands)
    for command in commands.choices.values():
        command.add_argument(
            "--import",
            dest="modules",
            action="append",
            default=[],
            metavar="MODULE",
            help="import your module first, for the variants that it registers",
        )
    arguments, unknown = parser.parse_known_args(_joined(sys.argv[1:] if argv is None else argv))
    if unknown:
        arguments.parser.error(f"unknown arguments: {' '.join(unknown)}")
    try:
        for module in arguments.modules:
            _loading.load()
            importlib.import_module(module)
    except Exception as error:
        print(f"klv: --import {module}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


def _add_list(commands: Any) -> None:
    parser = commands.add_parser("list", help="all variants, a line each")
    parser.set_defaults(run=_list, parser=parser)


def _list(arguments: argparse.Namespace) -> int:
    known = _loading.variants()
    width = max(map(len, known))
    return _show("\n".join(f"{name:<{width}}  {of or '-'}" for name, of in known.items()))


def _show(text: str) -> int:
    """Print it, to a reader who may stop early, as `head` does."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python would complain once more when it closes the output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _add_describe(commands: Any) -> None:
    parser = commands.add_parser(
        "describe", help="a variant's equations, reference, states and weights"
    )
    parser.add_argument("variant", metavar="VARIANT", help="a name that `klv list` shows")
    names = ("--features", "--input-dim")
    parser.add_argument(*names, type=int, default=80, help="default: %(default)s")
    parser.add_argument("--units", type=int, default=12, help="default: %(default)s")
    parser.add_argument("--format", choices=("text", "markdown", "json"), default="text")
    parser.set_defaults(run=_describe, parser=parser)


def _describe(arguments: argparse.Namespace) -> int:
    try:
        variant = _loading.find_variant(arguments.variant)
        features = whole_number("--features", arguments.features, _checks.MOST_UNITS)
        units = whole_number("--units", arguments.units, _checks.MOST_UNITS)
        _loading.load()
        from keras_lstm_variants.analysis.describe import describe

        text = describe(variant, features, units, format=arguments.format)
    except ValueError as error:
        print(f"klv describe: {error}", file=sys.stderr)
        return 2
    return _show(text.rstrip("\n"))
