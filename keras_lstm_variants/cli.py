"""The command `klv`, also `python -m keras_lstm_variants`."""

import argparse
import sys
from collections.abc import Sequence

from keras_lstm_variants._version import __version__
from keras_lstm_variants.compare import command as compare


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
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        arguments.parser.error(f"unknown arguments: {' '.join(unknown)}")
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
