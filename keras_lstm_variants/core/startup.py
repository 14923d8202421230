"""How the process was started, and how it ends where something is missing."""

import multiprocessing
import sys


def is_our_command() -> bool:
    """Whether this process is `klv` or `python -m keras_lstm_variants`, and no child of it."""
    # The second is how a child is started, which does not know its parent when it imports this.
    if multiprocessing.parent_process() or "--multiprocessing-fork" in sys.orig_argv:
        return False
    name = sys.argv[0].replace("\\", "/").rsplit("/", 1)[-1] if sys.argv else ""
    # `python [options] -m keras_lstm_variants ...`: only the interpreter's own -m counts.
    arguments = iter(sys.orig_argv[1:])
    for argument in arguments:
        if argument == "-m":
            return next(arguments, "") == __package__.split(".")[0]
        if argument in ("-W", "-X"):
            next(arguments, "")
        elif not argument.startswith("-") or argument.startswith("-c"):
            break
    return name in ("klv", "klv.exe")


def fail(message: str) -> None:
    """Ends with this one line: an ImportError, or the line alone for the command `klv`."""
    if is_our_command():
        # A person at a terminal wants the line, not the traceback.
        print(message, file=sys.stderr)
        raise SystemExit(2)
    raise ImportError(message)
