"""Importing is cheap and says what is missing."""

import os
import subprocess
import sys

import pytest

import keras_lstm_variants as klv

HIDE = """
import sys


class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden}:
            return None


class Path:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden}:
            return None
        return self.finder.find_spec(name, path, target)


sys.meta_path = [Path(f) for f in sys.meta_path]
"""


def run(script: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
        check=False,
    )


def test_importing_adds_nothing_heavy_to_keras():
    done = run(
        "import sys, time, keras\n"
        "before, start = set(sys.modules), time.perf_counter()\n"
        "import keras_lstm_variants\n"
        "seconds = time.perf_counter() - start\n"
        "added = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "print(sorted(added & {'matplotlib', 'keras_tuner', 'sklearn', 'tensorboard'}), seconds)"
    )
    found, seconds = done.stdout.strip().rsplit(" ", 1)
    assert found == "[]", done.stderr
    # 0.03 s as a rule; the promise is 0.3 s, and a busy machine gets some air.
    assert float(seconds) < 1.0


def test_without_tensorflow_one_line_says_what_to_install():
    done = run(HIDE.format(hidden=["tensorflow"]) + "import keras_lstm_variants")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: keras_lstm_variants needs TensorFlow")
    assert "pip install 'keras_lstm_variants[cpu]'" in last


def test_the_command_without_tensorflow_prints_that_line_only():
    done = run(
        HIDE.format(hidden=["tensorflow"]) + "sys.argv = ['klv']\nimport keras_lstm_variants.cli"
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("keras_lstm_variants needs TensorFlow")


def test_another_backend_of_keras_is_named():
    script = (
        "import types, sys\n"
        "keras = types.ModuleType('keras')\n"
        "keras.config = types.SimpleNamespace(backend=lambda: 'jax')\n"
        "sys.modules['keras'] = keras\n"
        "import keras_lstm_variants"
    )
    done = run(script)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: keras_lstm_variants runs on Keras's TensorFlow backend")
    assert "'jax'" in last and "KERAS_BACKEND=tensorflow" in last


@pytest.mark.parametrize(
    "command", [["-m", "keras_lstm_variants"], ["-m", "keras_lstm_variants.cli"]]
)
def test_version(command):
    if command[-1].endswith("cli"):
        command = ["-c", "import sys; from keras_lstm_variants.cli import main; sys.exit(main())"]
    done = subprocess.run(
        [sys.executable, *command, "--version"], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == f"klv {klv.__version__}"
