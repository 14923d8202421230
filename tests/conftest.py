import contextlib
import gc
import os
import warnings
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pytest

# Before TensorFlow starts: its notes on the machine are no part of a test.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What XLA makes of a graph is tested, not how fast the machine's code is: that takes longest.
_FLAGS = ["--xla_backend_optimization_level=0"]
for _name in ("tensorflow", "tensorflow-cpu"):
    with contextlib.suppress(PackageNotFoundError):
        if version(_name).startswith(("2.20.", "2.21.")):  # XLA dies of flags that it does not know
            _FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(_FLAGS))


@pytest.fixture(autouse=True, scope="session")
def imports_frozen():
    """Collections of garbage pass over what the imports have made, which stays to the end."""
    import keras_lstm_variants  # noqa: F401, with all that it imports

    gc.collect()
    gc.freeze()


def forgetting():
    """TensorFlow keeps every custom gradient, and with it all graphs, until the process ends."""
    from tensorflow.python.framework import ops

    registry = ops.gradient_registry._registry
    before = set(registry)
    yield
    new = set(registry) - before
    for name in new:
        del registry[name]
    if new:
        gc.collect()


# For modules whose tests have graphs to themselves and many of them, one test at a time.
forgotten_after_each_test = pytest.fixture(forgetting)
forgotten = pytest.fixture(autouse=True, scope="module")(forgetting)


@pytest.fixture(autouse=True)
def a_loop_for_few_steps(monkeypatch):
    """Short sequences are looped over, so that they test the loop."""
    from keras_lstm_variants.engine.tensorflow import dispatch

    monkeypatch.setattr(dispatch, "WRITTEN_OUT", 0)


@pytest.fixture
def trained_eagerly():
    """Models train step by step: making a graph takes longer than a few batches."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Even though the `tf.config.experimental_run_functions")
        yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def fast(monkeypatch):
    """Counts the fast loops that are built, so that no test passes on the plain one."""
    from keras_lstm_variants.engine.tensorflow.fast import FastLoop

    built = []
    forward = FastLoop.forward

    def counted(self, *args):
        built.append(self)
        return forward(self, *args)

    monkeypatch.setattr(FastLoop, "forward", counted)
    return built


@pytest.fixture
def short_blocks(monkeypatch):
    """Blocks of four and two steps, and two loops side by side for a few rows."""
    from keras_lstm_variants.engine.tensorflow import chunks, divide

    monkeypatch.setattr(chunks, "_length", lambda *_: 4)
    monkeypatch.setattr(divide, "_WORK", 0)
    monkeypatch.setattr(divide, "_ROWS", 1)
    monkeypatch.setattr(divide, "cores", lambda: 2)


@pytest.fixture(scope="session")
def words_file(tmp_path_factory):
    """Words drawn at random: every third letter follows from the two before it."""
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abcdefgh"), 3)) for _ in range(12)]
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text(" ".join(random.choice(words, 7000)), "utf-8")
    return path


@pytest.fixture(scope="session")
def digits():
    pytest.importorskip("sklearn")
    from keras_lstm_variants import tasks

    return tasks.load("digits")


@pytest.fixture(autouse=True)
def no_variants_left_behind():
    """What is defined and registered within a test is not there for the next one."""
    yield
    from keras_lstm_variants.core import registry

    local = [n for n, cls in registry._registered.items() if "<locals>" in cls.__qualname__]
    for name in local:
        for table in (registry._layers, registry._registered, registry._packages):
            table.pop(name, None)


@pytest.fixture
def forms(monkeypatch):
    """Short loops are compiled as well; whether each call asked for the compiled form."""
    import tensorflow as tf

    from keras_lstm_variants.engine.tensorflow import divide, recurring

    monkeypatch.setattr(divide, "_FEW", 1)
    asked = []
    count = recurring.has_come_back

    def counted(*args):
        often = count(*args)
        tf.numpy_function(lambda *values: asked.append(any(values)), often, [])
        return often

    monkeypatch.setattr(recurring, "has_come_back", counted)
    return asked
