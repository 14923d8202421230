"""Fails with one clear line where Keras has no TensorFlow to run on."""

import importlib.util
import os

from keras_lstm_variants._cli import logs
from keras_lstm_variants.core.startup import fail, is_our_command

_MESSAGE = (
    "keras_lstm_variants needs TensorFlow, which is not installed. Install one of its two "
    "distributions: pip install 'keras_lstm_variants[cpu]' (tensorflow-cpu) or "
    "pip install 'keras_lstm_variants[tensorflow]' (GPU and TPU too)."
)


if importlib.util.find_spec("tensorflow") is None:
    fail(_MESSAGE)

if is_our_command():
    logs.send_notes_to(os.devnull)

import keras  # noqa: E402

if keras.config.backend() != "tensorflow":
    fail(
        "keras_lstm_variants runs on Keras's TensorFlow backend, and Keras is set to "
        f"{keras.config.backend()!r}: set the environment variable KERAS_BACKEND=tensorflow."
    )
