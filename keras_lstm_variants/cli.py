"""The command `klv`, also `python -m keras_lstm_variants`."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from keras_lstm_variants import _loading
from keras_lstm_variants._cli.arguments import add_command, import_modules, joined, whole_number
from keras_lstm_variants._cli.errors import UsageError, fail, in_options
from keras_lstm_variants._version import __version__
from keras_lstm_variants.bench import command as bench
from keras_lstm_variants.compare import command as compare
from keras_lstm_variants.core import checks
from keras_lstm_variants.tuning import command as tune


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; None takes the process's.

    Returns:
        0; 1 if a run failed; 2 for bad input; 130 after Ctrl-C.
    """
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
    arguments, unknown = parser.parse_known_args(joined(sys.argv[1:] if argv is None else argv))
    if unknown:
        arguments.parser.error(f"unknown arguments: {' '.join(unknown)}")
    try:
        import_modules(arguments.modules)
    except UsageError as error:
        return fail("klv", str(error))
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


def _add_list(commands: Any) -> None:
    add_command(commands, "list", _list, summary="all variants, a line each")


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
    summary = "a variant's equations, reference, states and weights"
    parser = add_command(commands, "describe", _describe, summary=summary)
    parser.add_argument("variant", metavar="VARIANT", help="a name that `klv list` shows")
    names = ("--features", "--input-dim")
    parser.add_argument(*names, type=int, default=80, help="default: %(default)s")
    parser.add_argument("--units", type=int, default=12, help="default: %(default)s")
    parser.add_argument("--format", choices=("text", "markdown", "json"), default="text")


def _describe(arguments: argparse.Namespace) -> int:
    try:
        variant = _loading.find_variant(arguments.variant)
        features = whole_number("--features", arguments.features, checks.MOST_UNITS)
        units = whole_number("--units", arguments.units, checks.MOST_UNITS)
        _loading.load()
        from keras_lstm_variants.analysis.describe import describe

        text = describe(variant, features, units, format=arguments.format)
    except ValueError as error:
        return fail("klv describe", in_options(str(error)))
    return _show(text.rstrip("\n"))
