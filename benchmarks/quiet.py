"""Imported first, it keeps TensorFlow's notes on the machine off the terminal."""

import importlib.util
import os
import runpy
from pathlib import Path

# By its path: importing the package would import TensorFlow, which writes the notes.
_package = Path(importlib.util.find_spec("keras_lstm_variants").origin).parent
runpy.run_path(str(_package / "_cli" / "logs.py"))["send_notes_to"](os.devnull)
