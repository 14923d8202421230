"""`klv compare` as a user runs it, in a tiny setting."""

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_lstm_variants import tasks
from keras_lstm_variants.cli import main
from keras_lstm_variants.compare.options import variants_of
from keras_lstm_variants.compare.settings import Settings, defaults
from keras_lstm_variants.registry import list_variants

TINY = ["--task", "digits", "--units", "4", "--epochs", "2", "--no-jit", "--jobs", "1"]


def klv(*arguments, **kwargs):
    # The installed command itself, as a user calls it.
    command = Path(sys.executable).parent / "klv"
    return subprocess.run(
        [str(command), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **kwargs,
    )


class TestCommand:
    def test_run_grow_and_read_the_results(self, tmp_path):
        output = tmp_path / "out"
        first = klv("compare", *TINY, "--variants", "GRU,Elman", "--output", output)
        assert first.returncode == 0, first.stderr
        assert "Best by validation" in first.stdout
        assert "Data sha256: " in first.stdout and "floor logistic regression" in first.stdout
        # Only our own lines, none of TensorFlow's.
        assert all(line.startswith(("[", "GRU", "Elman")) for line in first.stderr.splitlines())
        names = {p.name for p in output.iterdir()}
        assert {"results.csv", "results.json", "curves.png", "runs"} <= names
        stamp = (output / "runs" / "GRU-seed0.json").stat().st_mtime_ns

        grown = klv(
            "compare", *TINY, "--variants", "GRU,Elman", "--seeds", 2, "--output", output
        )  # fmt: skip
        assert grown.returncode == 0, grown.stderr
        assert "2 of 4 runs are finished" in grown.stdout
        assert (output / "runs" / "GRU-seed0.json").stat().st_mtime_ns == stamp
        results = json.loads((output / "results.json").read_text())
        found = [(r["variant"], r["seed"]) for r in results["runs"]]
        assert sorted(found) == [("Elman", 0), ("Elman", 1), ("GRU", 0), ("GRU", 1)]
        assert results["versions"]["keras"] == keras.__version__
        assert results["arguments"]["units"] == 4
        assert results["identity"]["data_sha256"] == tasks.load("digits").sha256
        with open(output / "results.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(r["variant"], int(r["seed"])) for r in rows] == found
        assert all(math.isfinite(float(r["test"])) for r in rows)
        model = keras.models.load_model(output / "runs" / "GRU-seed0.keras")
        task = tasks.load("digits")
        wrong = np.mean(model.predict(task.test[0], verbose=0).argmax(-1) != task.test[1])
        (gru,) = [r for r in rows if (r["variant"], r["seed"]) == ("GRU", "0")]
        assert float(gru["test"]) == pytest.approx(100 * wrong)

        again = klv("compare", *TINY, "--variants", "GRU,Elman", "--seeds", 2, "--output", output)
        assert again.stdout.split("\n\n")[1] == grown.stdout.split("\n\n")[1]
        part = klv("compare", *TINY, "--variants", "Elman", "--output", output)
        assert "1 of 1 runs are finished" in part.stdout and "and 3 more" in part.stdout
        assert part.stdout.split("\n\n")[1] == grown.stdout.split("\n\n")[1]
        assert len(json.loads((output / "results.json").read_text())["runs"]) == 4
        other = klv("compare", *TINY, "--layers", 2, "--output", output)
        assert other.returncode == 2
        assert other.stderr.count("\n") == 1 and "layers 1 there, 2 here" in other.stderr

    def test_own_text(self, tmp_path, words_file):
        done = klv(
            "compare", "--text", words_file, "--units", 8, "--epochs", 1, "--no-jit",
            "--variants", "CoupledLSTM", "--forget-bias", "chrono", "--output", tmp_path / "out",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "CoupledLSTM-seed0, given" in done.stdout and "  | " in done.stdout
        assert "chrono" in done.stdout

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
    def test_a_stopped_comparison_continues(self, tmp_path, how):
        output = tmp_path / "out"
        command = ["compare", "--task", "digits", "--units", "4", "--no-jit", "--jobs", "1"]
        command += ["--variants", "Elman,GRU", "--epochs", "8", "--output", str(output)]
        process = subprocess.Popen(
            [sys.executable, "-m", "keras_lstm_variants", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        finished = output / "runs" / "Elman-seed0.json"
        end = time.monotonic() + 120
        while not finished.exists():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, how)
        _, err = process.communicate(timeout=60)
        if how == signal.SIGINT:
            assert process.returncode == 130, err
            assert "kept" in err and "Traceback" not in err
        assert not (output / "runs" / "GRU-seed0.json").exists()
        before = finished.read_bytes()
        done = klv(*command)
        assert done.returncode == 0, done.stderr
        assert "1 of 2 runs are finished" in done.stdout
        assert finished.read_bytes() == before

    def test_a_run_that_dies_does_not_stop_the_others(self, tmp_path):
        """A process killed from outside, as the system does when memory is short."""
        output = tmp_path / "out"
        command = ["compare", "--task", "digits", "--units", "4", "--no-jit", "--jobs", "1"]
        command += ["--variants", "Elman,GRU", "--epochs", "10", "--output", str(output)]
        process = subprocess.Popen(
            [sys.executable, "-m", "keras_lstm_variants", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        end = time.monotonic() + 120
        children = []
        while not children:
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.05)
            listed = subprocess.run(
                ["pgrep", "-P", str(process.pid), "-f", "spawn_main"],
                capture_output=True,
                text=True,
                check=False,
            )
            children = listed.stdout.split()
        time.sleep(1)
        os.kill(int(children[0]), signal.SIGKILL)
        out, err = process.communicate(timeout=240)
        assert process.returncode == 1, err
        assert "Elman seed 0: FAILED: its process died (exit code -9)" in err
        assert "GRU" in out and "1 run(s) failed" in out
        results = json.loads((output / "results.json").read_text())
        assert [r["variant"] for r in results["runs"]] == ["GRU"]
        assert results["failed"][0]["variant"] == "Elman"


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "short.txt").write_text("too short")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00" * 9000)
    (tmp_path / "file").write_text("x")
    return tmp_path


BAD = {
    "variant": (["--variants", "LTSM,GRU"], "'LTSM'.*Did you mean 'LSTM'"),
    "cell": (["--variants", "TSTMCell"], "'TSTMCell'.*Did you mean 'LSTM'"),
    "no variant": (["--variants", ","], "--variants ',' names no variant"),
    "task": (["--task", "digit"], "--task 'digit'.*did you mean 'digits'"),
    "units": (["--units", "0"], "--units.*above 0.*0"),
    "epochs": (["--epochs", "-1"], "--epochs.*-1"),
    "seeds": (["--seeds", "0"], "--seeds"),
    "jobs": (["--jobs", "0"], "--jobs"),
    "forget bias": (["--forget-bias", "much"], "--forget-bias.*number or chrono.*'much'"),
    "forget bias inf": (["--forget-bias", "inf"], "--forget-bias"),
    "no file": (["--text", "none.txt"], "none.txt.*cannot be read"),
    "folder": (["--text", "."], "is a directory"),
    "empty": (["--text", "empty.txt"], "empty"),
    "short": (["--text", "short.txt"], "20,?000"),
    "binary": (["--text", "binary.txt"], "UTF-8"),
    "text and task": (["--text", "short.txt", "--task", "adding"], "not allowed with task"),
    "output is a file": (["--output", "file"], "cannot write to --output 'file'"),
    "output below a file": (["--output", "file/out"], "cannot write to --output 'file/out'"),
    "foreign output": (["--output", "."], "holds no comparison"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_code_2(case, in_tmp, capsys):
    arguments, message = BAD[case]
    assert main(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and captured.err.startswith("klv compare: ")
    assert re.search(message, captured.err), captured.err


def test_no_permission(in_tmp, capsys, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert main(["compare", "--output", "out"]) == 2
    assert "cannot write to --output 'out': Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--units", "x"], ["--qick"]])
def test_unknown_option_is_argparse_code_2(capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        main(["compare", *arguments])
    assert exit_.value.code == 2
    assert "usage: klv compare" in capsys.readouterr().err


def test_variants_in_any_case_and_by_their_cells():
    assert variants_of("gru, LSTMcell,peepholelstm,GRU") == ["GRU", "LSTM", "PeepholeLSTM"]
    assert variants_of("all") == list_variants()


def test_quick_is_smaller():
    for task in (*tasks.TASKS, "text"):
        usual = Settings(**{**defaults(task), "task": task})
        quick = Settings(**{**defaults(task, quick=True), "task": task})
        assert quick.units < usual.units and quick.epochs < usual.epochs
