"""Importing is cheap and says what is missing."""

import os
import subprocess
import sys

import pytest
from tiers import quick_first

import keras_lstm_variants as klv
from keras_lstm_variants.core import names, registry, startup

HIDE = """
import sys


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


@pytest.mark.slow
@pytest.mark.processes
def test_importing_adds_nothing_heavy_to_keras():
    done = run(
        "import sys, keras\n"
        "before = {m.split('.')[0] for m in sys.modules}\n"
        "import keras_lstm_variants\n"
        "added = {m.split('.')[0] for m in sys.modules} - before - set(sys.stdlib_module_names)\n"
        "print(sorted(added))"
    )
    assert done.stdout.strip() == "['keras_lstm_variants']", done.stderr


@pytest.mark.processes
def test_without_tensorflow_one_line_says_what_to_install():
    done = run(HIDE.format(hidden=["tensorflow"]) + "import keras_lstm_variants")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: keras_lstm_variants needs TensorFlow")
    assert "pip install 'keras_lstm_variants[cpu]'" in last


@pytest.mark.processes
def test_the_command_without_tensorflow_prints_that_line_only():
    done = run(
        HIDE.format(hidden=["tensorflow"]) + "sys.argv = ['klv', 'describe', 'LSTM']\n"
        "from keras_lstm_variants.cli import main\n"
        "main()"
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("keras_lstm_variants needs TensorFlow")


# What a start as `klv` answers without TensorFlow, with its exit code and some of its answer.
LIGHT = [
    (["--help"], 0, "describe  "),
    (["list"], 0, "DeepGateLSTM "),
    ([], 2, "required: COMMAND"),
    (["compare", "--units", "0"], 2, "--units must be a whole number from 1 to 1,000,000"),
    (["compare", "--task", ""], 2, "--task must be one of"),
    (["compare", "--variants", "LTSM"], 2, "Did you mean 'LSTM'"),
    (["compare", "--output", ""], 2, "--output must be a path"),
    (["compare", "--text", "none.txt"], 2, "cannot be read"),
    (["bench", "--shape", "1x2"], 2, "--shape must be"),
    (["describe", "LTSM"], 2, "Did you mean 'LSTM'"),
    (["tune", "--no-such-option"], 2, "unknown arguments"),
    (["tune", "--units", "0"], 2, "--units must be"),
    (["tune", "--steps", str(2**70)], 2, "--steps must be a whole number from 1 to 1,000,000"),
    (["tune", "--text", "."], 2, "--text '.': cannot be read (Is a directory)"),
    (["tune", "--text", ""], 2, "--text must be a path"),
    (["tune", "--data", "none.npz"], 2, "--data 'none.npz': cannot be read"),
]


@pytest.mark.slow
@pytest.mark.processes
def test_the_command_answers_without_tensorflow_until_it_computes(tmp_path):
    done = run(
        f"import contextlib, io, os, sys\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "sys.argv = ['klv']\n"
        "from keras_lstm_variants.cli import main\n"
        f"for arguments, code, words in {LIGHT!r}:\n"
        "    shown = io.StringIO()\n"
        "    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):\n"
        "        try:\n"
        "            found = main(arguments)\n"
        "        except SystemExit as end:\n"
        "            found = end.code\n"
        "    assert found == code and words in shown.getvalue(), (arguments, shown.getvalue())\n"
        "    heavy = {'keras', 'tensorflow', 'keras_tuner', 'matplotlib'} & set(sys.modules)\n"
        "    assert not heavy, (arguments, heavy)\n"
        "import keras_lstm_variants as klv\n"
        "assert issubclass(klv.LSTM, klv.CellLayer) and 'keras' in sys.modules\n"
        "print(*klv.__all__)\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == klv.__all__


def test_names_mean_the_same_without_tensorflow():
    for text in ("lstm", "GRUCell", "LTSM", "AttentionLSTM", "", "xyz"):
        answers = []
        for find in (names.find, registry.find_variant):
            try:
                answers.append(find(text))
            except ValueError as error:
                answers.append(str(error))
        assert answers[0] == answers[1]


@pytest.mark.slow
@pytest.mark.processes
def test_notes_of_libraries_go_to_a_file_and_our_lines_do_not(tmp_path):
    script = (
        "import os, subprocess, sys\n"
        "from keras_lstm_variants._cli import logs\n"
        f"for name in ('first.log', 'second.log'):\n"
        f"    logs.send_notes_to({str(tmp_path)!r} + '/' + name)\n"
        "    os.write(2, b'a note\\n')\n"
        "    print('our line', file=sys.stderr)\n"
        "subprocess.run([sys.executable, '-c', 'import os; os.write(2, b\\'a child\\')'])\n"
    )
    done = run(script)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-2:] == ["our line", "our line"]
    assert "a note" not in done.stderr
    assert (tmp_path / "first.log").read_text() == "a note\n"
    assert (tmp_path / "second.log").read_text() == "a note\na child"


@pytest.mark.parametrize(
    ("arguments", "argv", "ours"),
    [
        (["-m", "keras_lstm_variants", "compare"], "-m", True),
        (["-W", "error", "-X", "dev", "-m", "keras_lstm_variants"], "-m", True),
        (["/bin/klv", "compare"], "/bin/klv", True),
        (["train.py", "-m", "keras_lstm_variants"], "train.py", False),
        (["-m", "pytest", "keras_lstm_variants"], "pytest", False),
        (["-c", "import keras_lstm_variants"], "-c", False),
        (["-c", "from multiprocessing.spawn import ...", "--multiprocessing-fork"], "klv", False),
    ],
)
def test_our_command_is_recognised(monkeypatch, arguments, argv, ours):
    monkeypatch.setattr(sys, "orig_argv", ["python", *arguments])
    monkeypatch.setattr(sys, "argv", [argv])
    assert startup.is_our_command() is ours


@pytest.mark.processes
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


@quick_first(
    pytest.mark.parametrize(
        "command", [["-m", "keras_lstm_variants"], ["-m", "keras_lstm_variants.cli"]]
    )
)
@pytest.mark.processes
def test_version(command):
    if command[-1].endswith("cli"):
        command = ["-c", "import sys; from keras_lstm_variants.cli import main; sys.exit(main())"]
    done = subprocess.run(
        [sys.executable, *command, "--version"], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == f"klv {klv.__version__}"


def test_threads_are_limited_within_operations_and_between_them(monkeypatch):
    import tensorflow as tf

    from keras_lstm_variants.backend.threads import limit_threads

    limits = {}
    for where in ("intra", "inter"):
        monkeypatch.setattr(
            tf.config.threading,
            f"set_{where}_op_parallelism_threads",
            lambda count, where=where: limits.update({where: count}),
        )
    limit_threads(3)
    assert limits == {"intra": 3, "inter": 3}
