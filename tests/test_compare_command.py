"""`klv compare` as a user runs it, in a tiny setting."""

import csv
import json
import math
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest.mock
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_lstm_variants import tasks
from keras_lstm_variants._cli.arguments import variants_of
from keras_lstm_variants._cli.work_folder import StoreFailure
from keras_lstm_variants.cli import main
from keras_lstm_variants.compare import pool
from keras_lstm_variants.compare.settings import Run, Settings, defaults
from keras_lstm_variants.compare.store import COLUMNS
from keras_lstm_variants.core.registry import list_variants

TINY = ["--task", "digits", "--units", "4", "--epochs", "2", "--no-jit", "--jobs", "1"]


def klv(*arguments):
    """The installed command itself, as a user calls it."""
    command = Path(sys.executable).parent / "klv"
    return subprocess.run(
        [str(command), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def compare(capsys, monkeypatch, digits):
    """The command without a process of its own: its code, its output and its errors."""
    load = tasks.load
    # Whose baseline takes seconds each time.
    monkeypatch.setattr(
        tasks, "load", lambda name, **how: digits if name == "digits" else load(name, **how)
    )

    def run(*arguments):
        capsys.readouterr()
        code = main(["compare", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def wait_for(path, process, seconds=120):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)


@pytest.mark.processes
class TestCommand:
    @pytest.mark.slow
    def test_run_grow_and_read_the_results(self, tmp_path, compare, digits):
        output = tmp_path / "out"
        first = klv("compare", *TINY, "--variants", "GRU,Elman", "--output", output)
        assert first.returncode == 0, first.stderr
        assert "Best by validation" in first.stdout
        assert "Data sha256: " in first.stdout and "baseline logistic regression" in first.stdout
        # Only our own lines, none of TensorFlow's.
        ours = re.compile(r"\[|GRU|Elman|\d of 2 runs done, about \d+ s left")
        assert all(map(ours.match, first.stderr.splitlines())), first.stderr
        names = {p.name for p in output.iterdir()}
        assert {"results.csv", "results.json", "curves.png", "runs"} <= names
        stamp = (output / "runs" / "GRU-seed0.json").stat().st_mtime_ns

        both = [*TINY, "--variants", "GRU,Elman", "--seeds", 2, "--output", output]
        code, grown, err = compare(*both)
        assert code == 0, err
        assert "2 of 4 runs are finished" in grown
        assert (output / "runs" / "GRU-seed0.json").stat().st_mtime_ns == stamp
        results = json.loads((output / "results.json").read_text())
        found = [(r["variant"], r["seed"]) for r in results["runs"]]
        assert sorted(found) == [("Elman", 0), ("Elman", 1), ("GRU", 0), ("GRU", 1)]
        assert results["versions"]["keras"] == keras.__version__
        assert results["arguments"]["units"] == 4
        assert results["identity"]["data_sha256"] == digits.sha256
        with open(output / "results.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(r["variant"], int(r["seed"])) for r in rows] == found
        assert all(math.isfinite(float(r["test"])) for r in rows)
        model = keras.models.load_model(output / "runs" / "GRU-seed0.keras")
        x, y = digits.test
        wrong = np.mean(model.predict(x, verbose=0).argmax(-1) != y)
        (gru,) = [r for r in rows if (r["variant"], r["seed"]) == ("GRU", "0")]
        assert float(gru["test"]) == pytest.approx(100 * wrong)

        _, again, _ = compare(*both)
        assert again.split("\n\n")[1] == grown.split("\n\n")[1]
        _, part, _ = compare(*TINY, "--variants", "Elman", "--output", output)
        assert "1 of 1 runs are finished" in part and "and 3 more" in part
        assert part.split("\n\n")[1] == grown.split("\n\n")[1]
        assert len(json.loads((output / "results.json").read_text())["runs"]) == 4
        code, _, err = compare(*TINY, "--layers", 2, "--output", output)
        assert code == 2
        assert err.count("\n") == 1 and "layers 1 there, 2 here" in err

    @pytest.mark.slow
    def test_own_text(self, tmp_path, words_file, compare):
        code, out, err = compare(
            "--text", words_file, "--units", 8, "--epochs", 1, "--no-jit",
            "--variants", "CoupledLSTM", "--forget-bias", "chrono", "--output", tmp_path / "out",
            "--split", "70/20/10", "--batch-size", 16, "--steps", 25, "--dropout", 0.25,
            "--learning-rate", 0.02,
        )  # fmt: skip
        assert code == 0, err
        assert "cut into 70/20/10 % in order" in out and "dropout 0.25" in out
        assert "batches of 16 sequences of 25 steps, Adam with a peak learning rate of 0.02" in out
        assert "No curves.png: one epoch" in out
        assert not (tmp_path / "out" / "curves.png").exists()
        assert "CoupledLSTM-seed0, given" in out and "  | " in out
        assert "chrono" in out

    @pytest.mark.slow
    def test_a_stopped_comparison_continues(self, tmp_path, compare):
        """Killed after its first run, then stopped by Ctrl-C after its second."""
        output = tmp_path / "out"
        command = ["--task", "digits", "--units", "4", "--no-jit", "--jobs", "1"]
        command += ["--variants", "Elman,GRU,MUT1", "--epochs", "4", "--output", str(output)]
        runs = [output / "runs" / f"{name}-seed0.json" for name in ("Elman", "GRU", "MUT1")]
        kept = {}
        for how, run, following in (
            (signal.SIGKILL, *runs[:2]),
            (signal.SIGINT, *runs[1:]),
        ):
            process = subprocess.Popen(
                [sys.executable, "-m", "keras_lstm_variants", "compare", *command],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            wait_for(run, process)
            if how == signal.SIGKILL:
                # The parent alone. Its workers hold its standard output for as long as they live.
                process.kill()
            else:
                os.killpg(process.pid, how)
            out, err = process.communicate(timeout=60)
            assert not following.exists()
            assert all(path.read_bytes() == content for path, content in kept.items())
            kept[run] = run.read_bytes()
            (output / "results.json").write_text('{"identity": ')  # cut by hand
        assert process.returncode == 130, err
        assert "1 of 3 runs are finished" in out
        assert "kept" in err and "Traceback" not in err
        code, out, err = compare(*command)
        assert code == 0, err
        assert "2 of 3 runs are finished" in out
        assert all(path.read_bytes() == content for path, content in kept.items())

    @pytest.mark.slow
    def test_a_run_that_dies_does_not_stop_the_others(self, tmp_path, compare, monkeypatch):
        """A process killed from outside, as the system does when memory is short."""
        output = tmp_path / "out"
        give = pool._Worker.give

        def give_and_kill(worker, run):
            give(worker, run)
            if run and run.variant == "Elman":
                os.kill(worker.process.pid, signal.SIGKILL)

        monkeypatch.setattr(pool._Worker, "give", give_and_kill)
        code, out, err = compare(*TINY, "--variants", "Elman,GRU", "--output", output)
        assert code == 1, err
        assert "Elman seed 0: FAILED: its process died (exit code -9)" in err
        assert "GRU" in out and "1 run(s) failed" in out
        results = json.loads((output / "results.json").read_text())
        assert [r["variant"] for r in results["runs"]] == ["GRU"]
        assert results["failed"][0]["variant"] == "Elman"


class TestFolder:
    """What goes wrong with the folder, without the training: `train_all` only tells of a run."""

    RECORD = {**dict.fromkeys(COLUMNS, 1), "variant": "GRU", "seed": 0}
    RECORD["curve"] = [{"epoch": 1, "valid": 1}]

    def compare(self, monkeypatch, meanwhile=lambda: None):
        def train_all(runs, *_, listener, **__):
            listener("start", runs[0], None)
            meanwhile()
            listener("done", runs[0], self.RECORD)

        monkeypatch.setattr("keras_lstm_variants.compare.pool.train_all", train_all)
        return main(["compare", "--units", "4", "--variants", "GRU", "--output", "out"])

    def test_the_folder_is_deleted_meanwhile(self, in_tmp, monkeypatch, capsys):
        assert self.compare(monkeypatch, lambda: shutil.rmtree("out")) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("klv compare: cannot write to --output 'out': No such file")

    def test_the_disk_is_full(self, in_tmp, monkeypatch, capsys):
        def full(handle):
            raise OSError(28, "No space left on device")

        fill = lambda: monkeypatch.setattr(os, "fsync", full)  # noqa: E731
        assert self.compare(monkeypatch, fill) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert last == (
            "klv compare: cannot write to --output 'out': No space left on device. "
            "The same command continues from what is there."
        )
        assert json.loads(Path("out/results.json").read_text())["runs"] == []

    def test_two_commands_at_a_time(self, in_tmp, monkeypatch, capsys):
        codes = []
        assert self.compare(monkeypatch, lambda: codes.append(self.compare(monkeypatch))) == 0
        assert codes == [2]
        line = "klv compare: another process works in --output 'out' now"
        assert line in capsys.readouterr().err

    def test_runs_that_came_meanwhile_and_of_other_modules_count(self, in_tmp, monkeypatch, capsys):
        def copy_others():
            for variant in ("Elman", "NotImported"):
                path = Path("out/runs") / f"{variant}-seed0.json"
                path.write_text(json.dumps({**self.RECORD, "variant": variant}))

        assert self.compare(monkeypatch, copy_others) == 0
        with open("out/results.csv", newline="") as file:
            found = [row["variant"] for row in csv.DictReader(file)]
        assert found == ["Elman", "NotImported"]
        # The first one's model is not there.
        assert "No text by Elman-seed0: its model cannot be read" in capsys.readouterr().out

    def test_runs_that_failed_in_earlier_commands_are_kept(self, in_tmp, monkeypatch):
        path = Path("out/results.json")
        assert self.compare(monkeypatch) == 0
        failed = [{"variant": "Elman", "seed": 0, "error": "no memory"}]
        path.write_text(json.dumps({**json.loads(path.read_text()), "failed": failed}))
        assert self.compare(monkeypatch) == 0
        assert json.loads(path.read_text())["failed"] == failed

    def test_a_worker_that_cannot_save_ends_it_all(self, monkeypatch):
        ours, theirs = multiprocessing.Pipe()
        run = Run("GRU", 0)

        class Worker:
            pipe, process = ours, unittest.mock.Mock()

            def __init__(self, *_):
                self.run = None

            def give(self, run):
                theirs.send(("lost", run, "cannot write to --output 'out': full"))

        monkeypatch.setattr(pool, "_Worker", Worker)
        told = []
        with pytest.raises(StoreFailure, match="'out': full"):
            pool.train_all(
                [run, run], Settings(), "out", jobs=1, threads=1,
                listener=lambda *event: told.append(event),
            )  # fmt: skip
        assert told == [("start", run, None)]
        Worker.process.kill.assert_called_once()


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "short.txt").write_text("too short")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00" * 9000)
    (tmp_path / "file").write_text("x")
    (tmp_path / "long.txt").write_text("abcde fghij" * 2000)
    return tmp_path


BAD = {
    "variant": (["--variants", "LTSM,GRU"], "'LTSM'.*Did you mean 'LSTM'"),
    "cell": (["--variants", "TSTMCell"], "'TSTMCell'.*Did you mean 'LSTM'"),
    "no variant": (["--variants", ","], "--variants ',' names no variant"),
    "task": (["--task", "digit"], "--task must be one of .*'digit'. Did you mean 'digits'"),
    "units": (["--units", "0"], "--units must be a whole number from 1 to 1,000,000. Received: 0"),
    "epochs": (["--epochs", "-1"], "--epochs.*-1"),
    "seeds": (["--seeds", "0"], "--seeds"),
    "jobs": (["--jobs", "0"], "--jobs"),
    "forget bias": (
        ["--forget-bias", "much"],
        "--forget-bias must be a number from -1000 to 1000, or chrono.*'much'",
    ),
    "forget bias inf": (["--forget-bias", "inf"], "--forget-bias"),
    "no file": (["--text", "none.txt"], "cannot be read .*none.txt"),
    "folder": (["--text", "."], "is a directory"),
    "empty": (["--text", "empty.txt"], "empty"),
    "short": (["--text", "short.txt"], "20,?000"),
    "binary": (["--text", "binary.txt"], "UTF-8"),
    "text and task": (
        ["--text", "short.txt", "--task", "adding"],
        "--text must be None for the task 'adding'",
    ),
    "no text": (["--text", ""], "--text must be .* it is a directory. Received: --text ''"),
    "no task": (["--task", ""], "--task must be one of .*--task ''"),
    "text without a file": (["--task", "text"], "--text must be given for the task 'text'"),
    "much too many units": (["--units", str(2**70)], "--units must be.*1,000,000"),
    "many units": (
        ["--units", "1000000"],
        "are 4,000,132,000,000 weights of LSTM, which take 64,002,112,000,000 bytes to train; this",
    ),
    "many layers": (["--units", "10000", "--layers", "1000"], "--layers 1000 are .* bytes"),
    "many seeds": (["--seeds", "1000000000"], "--seeds must be a whole number from 1 to 10,000"),
    "batch": (["--batch-size", "0"], "--batch-size must be a whole number from 1"),
    "big batch": (["--batch-size", "1000000"], "--batch-size 1000000 .* --steps 50 is more than"),
    "big batch of adding": (
        ["--task", "adding", "--batch-size", "8001"],
        "--batch-size must be at most 8,000, the sequences to train on. Received: 8001",
    ),
    "steps": (["--steps", "-1"], "--steps must be"),
    "long steps": (["--steps", "900000"], "--steps 900000 is more than the .* characters"),
    "steps of no text": (["--task", "adding", "--steps", "9"], "--steps is for text.*'adding'"),
    "dropout": (["--dropout", "1"], "--dropout must be.*not including, 1. Received: 1.0"),
    "dropout nan": (["--dropout", "nan"], "--dropout must be"),
    "rate": (["--learning-rate", "0"], "--learning-rate must be a number above 0"),
    "rate nan": (["--learning-rate", "nan"], "--learning-rate must be"),
    "rate inf": (["--learning-rate", "1e30"], "--learning-rate must be"),
    "forget bias huge": (["--forget-bias", "1e30"], "--forget-bias must be"),
    **{
        f"split {text}": (["--text", "long.txt", "--split", text], f"--split must be.*'{text}'")
        for text in ("", "80/20", "80/10/5", "100/0/0", "a/b/c", "1e9/1/1", "8/1/1")
    },
    "tiny split": (
        ["--text", "long.txt", "--split", "99.9/0.05/0.05"],
        "--split must leave at least 200 ",
    ),
    "split of no text": (["--split", "80/10/10"], "--split goes with --text"),
    "no output": (["--output", ""], "--output must be a path. Received: ''"),
    "output with NUL": (["--output", "a\0b"], "--output must be a path"),
    "text with NUL": (["--text", "a\0b"], "it cannot be read .*--text 'a.x00b'"),
    "long output": (["--output", "a" * 300], "cannot write to --output.*name too long"),
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
