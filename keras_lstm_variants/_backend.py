"""Fails with one clear line where Keras has no TensorFlow to run on."""

import importlib.util
import os
import sys

from keras_lstm_variants._cli import logs
from keras_lstm_variants._loading import is_our_command as _is_our_command

_MESSAGE = (
    "keras_lstm_variants needs TensorFlow, which is not installed. Install one of its two "
    "distributions: pip install 'keras_lstm_variants[cpu]' (tensorflow-cpu) or "
    "pip install 'keras_lstm_variants[tensorflow]' (GPU and TPU too)."
)


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
    logs.send_notes_to(os.devnull)

import keras  # noqa: E402

if keras.config.backend() != "tensorflow":
    fail(
        "keras_lstm_variants runs on Keras's TensorFlow backend, and Keras is set to "
        f"{keras.config.backend()!r}: set the environment variable KERAS_BACKEND=tensorflow."
    )
