"""What the tests of `klv tune` share."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

TINY = ["--layers=1", "--units=2", "--learning-rate=0.01", "--forget-bias=1", "--epochs=1"]


def save_data(path, rows=40, **arrays):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 4, 2)).astype("float32")
    np.savez(path, **{"x": x, "y": (x[:, :, 0].sum(1) > 0).astype(int), **arrays})
    return path


def start(*arguments):
    """`klv tune` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "keras_lstm_variants", "tune", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def oracle_state(folder):
    try:
        return json.loads((Path(folder) / "trials" / "oracle.json").read_text())
    except OSError:
        return {"ongoing_trials": {}, "end_order": []}


def wait_for(condition, *processes, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        for process in processes:
            assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def trials_of(folder):
    with open(Path(folder) / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def trouble(monkeypatch):
    """The variants of `tune_trouble`, in this test only."""
    from keras_lstm_variants.core import registry

    for name in ("_layers", "_registered"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    here = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(here)
    paths = [here, os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    sys.modules.pop("tune_trouble", None)
    yield
    sys.modules.pop("tune_trouble", None)
