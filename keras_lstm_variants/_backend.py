"""Fails with one clear line where Keras has no TensorFlow to run on."""

import importlib.util
import multiprocessing
import os
import sys

from keras_lstm_variants import _stderr

_MESSAGE = (
    "keras_lstm_variants needs TensorFlow, which is not installed. Install one of its two "
    "distributions: pip install 'keras_lstm_variants[cpu]' (tensorflow-cpu) or "
    "pip install 'keras_lstm_variants[tensorflow]' (GPU and TPU too)."
)


def _is_our_command() -> bool:
    """Whether this process is `klv` or `python -m keras_lstm_variants`, and no child of it."""
    if multiprocessing.parent_process() is not None:
        return False
    name = sys.argv[0].replace("\\", "/").rsplit("/", 1)[-1] if sys.argv else ""
    # `python [options] -m keras_lstm_variants ...`: only the interpreter's own -m counts.
    arguments = iter(sys.orig_argv[1:])
    for argument in arguments:
        if argument == "-m":
            return next(arguments, "") == __package__
        if argument in ("-W", "-X"):
            next(arguments, "")
        elif not argument.startswith("-") or argument.startswith("-c"):
            break
    return name in ("klv", "klv.exe")


def fail(message: str) -> None:
    """Ends with this one line: an ImportError, or the line alone for the command `klv`."""
    if _is_our_command():
        # A person at a terminal wants the line, not the traceback.
        print(message, file=sys.stderr)
        raise SystemExit(2)
    raise ImportError(message)


if importlib.util.find_spec("tensorflow") is None:
    fail(_MESSAGE)

if _is_our_command():
    _stderr.send_notes_to(os.devnull)

import keras  # noqa: E402

if keras.config.backend() != "tensorflow":
    fail(
        "keras_lstm_variants runs on Keras's TensorFlow backend, and Keras is set to "
        f"{keras.config.backend()!r}: set the environment variable KERAS_BACKEND=tensorflow."
    )
