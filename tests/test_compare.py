"""`klv compare`: the parts, and the command as a user runs it, in a tiny setting."""

import csv
import io
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_lstm_variants import tasks
from keras_lstm_variants.cli import main
from keras_lstm_variants.compare import report, training
from keras_lstm_variants.compare.command import variants_of
from keras_lstm_variants.compare.progress import Progress
from keras_lstm_variants.compare.settings import Run, Settings, defaults
from keras_lstm_variants.compare.store import Store, StoreError, write_atomically
from keras_lstm_variants.compare.writing import write_text
from keras_lstm_variants.registry import list_variants

TINY = ["--task", "digits", "--units", "4", "--epochs", "2", "--no-jit", "--jobs", "1"]


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    """Words drawn at random: every third letter follows from the two before it."""
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abcdefgh"), 3)) for _ in range(12)]
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text(" ".join(random.choice(words, 7000)), "utf-8")
    return path


@pytest.fixture(scope="module")
def text_task(text_file):
    return tasks.load("text", text_file=text_file)


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


class TestTraining:
    def test_batches_have_one_shape_and_follow_the_text(self, text_task):
        batches = training.Batches(text_task, Settings(batch=8, steps=20), seed=1)
        stream = "".join(text_task.symbols[k] for k in text_task.train)
        first = batches[0][0].copy()
        for x, y in (batches[k] for k in range(len(batches))):
            assert x.shape == y.shape == (8, 20)
            np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
            assert "".join(text_task.symbols[k] for k in x[3]) in stream
        batches.on_epoch_end()
        assert np.any(batches[0][0] != first)
        again = training.Batches(text_task, Settings(batch=8, steps=20), seed=1)
        np.testing.assert_array_equal(again[0][0], first)

    def test_scores_count_every_real_step_once(self, text_task):
        x, y, batch = training.scored_arrays(text_task, "test")
        assert len(x) % batch == 0
        assert len(text_task.test) - 1 - x.size < len(x)
        np.testing.assert_array_equal(x.ravel()[1:], y.ravel()[:-1])
        assert x.shape[1] <= 2000

    def test_score_is_the_mean_of_bits(self, text_task):
        settings = Settings(units=4, embedding=3)
        model = training.make_model("LSTM", settings, text_task)
        scorer = training.make_scorer(model, text_task)
        x, y, _ = training.scored_arrays(text_task, "valid")
        logits = model.predict(x, verbose=0).astype("float64")
        chances = np.exp(logits - logits.max(-1, keepdims=True))
        chances /= chances.sum(-1, keepdims=True)
        bits = -np.log2(np.take_along_axis(chances, y[..., None], -1)).mean()
        assert training.score(scorer, text_task, "valid") == pytest.approx(bits, rel=1e-5)

    @pytest.mark.parametrize("kind", ["adding", "digits"])
    def test_other_tasks_are_scored_in_their_metric(self, kind):
        task = tasks.load(kind)
        model = training.make_model("GRU", Settings(units=4), task)
        value = training.score(training.make_scorer(model, task), task, "test")
        predicted = model.predict(task.test[0], verbose=0)
        if kind == "adding":
            expected = np.mean((predicted - task.test[1]) ** 2)
        else:
            expected = 100 * np.mean(predicted.argmax(-1) != task.test[1])
        assert value == pytest.approx(expected, rel=1e-4)

    def test_every_gate_of_every_variant_starts_alike(self, text_task):
        settings = Settings(units=32)
        for variant in ("GRU", "LSTM", "CoupledLSTM", "Elman"):
            layer = training.make_layer(variant, settings, text_task)
            layer.build((None, None, 16))
            for block in np.split(layer.cell.recurrent_kernel.numpy(), len(layer.gates), 1):
                np.testing.assert_allclose(block.T @ block, np.eye(32), atol=1e-4)
            bound = np.sqrt(6 / (16 + 32))
            largest = np.max(np.abs(layer.cell.kernel.numpy()))
            assert 0.9 * bound < largest <= bound

    def test_forget_bias_where_there_is_a_gate(self, text_task):
        for value in (2.0, "chrono"):
            settings = Settings(units=4, forget_bias=value)
            assert training.make_layer("LSTM", settings, text_task).forget_bias == value
            training.make_layer("Elman", settings, text_task)
        assert training.make_layer("LSTM", settings, text_task).max_timesteps == settings.steps

    def test_learns_what_can_be_learned(self, text_task):
        settings = Settings(units=32, epochs=4, steps=20, embedding=8, jit=False)
        reports = []
        model, record = training.train(Run("GRU", 0), settings, text_task, reports.append)
        floors = text_task.floors
        assert record["test"] < 0.75 * floors["memoryless"]["test"]
        assert [r["epoch"] for r in reports] == [1, 2, 3, 4]
        curve = [row["valid"] for row in record["curve"]]
        assert record["valid"] == min(curve) == curve[record["best_epoch"] - 1]
        assert record["parameters"] == model.count_params()
        scorer = training.make_scorer(model, text_task)
        assert training.score(scorer, text_task, "test") == pytest.approx(record["test"])
        written = write_text(model, text_task.symbols, "a", 300)
        assert written == write_text(model, text_task.symbols, "a", 300)
        assert len(written) == 300
        words = set("".join(text_task.symbols[k] for k in text_task.train).split()[1:-1])
        assert np.mean([w in words for w in written.split()[1:-1]]) > 0.5

    def test_same_seed_same_record(self, text_task):
        settings = Settings(units=4, epochs=1, steps=20, embedding=3, jit=False)
        records = [training.train(Run("LSTM", s), settings, text_task)[1] for s in (0, 0, 1)]
        assert records[0]["curve"] == records[1]["curve"] != records[2]["curve"]
        assert records[0]["test"] == records[1]["test"]

    def test_a_diverging_run_says_so(self, text_task):
        settings = Settings(units=4, epochs=1, steps=20, learning_rate=float("inf"), jit=False)
        with pytest.raises(training.Diverged, match="no longer a number in epoch 1"):
            training.train(Run("LSTM", 0), settings, text_task)

    def test_text_is_written_step_by_step_as_the_model_would(self, text_task):
        settings = Settings(units=5, embedding=3, layers=2)
        model = training.make_model("PeepholeLSTM", settings, text_task)
        prompt = "".join(text_task.symbols[k] for k in text_task.test[:9])
        first = write_text(model, text_task.symbols, prompt, 1, temperature=1e-6)
        scores = model.predict(text_task.test[None, :9], verbose=0)[0, -1, :-1]
        assert first == text_task.symbols[scores.argmax()]


def record(variant, seed, valid, test=1.0):
    curve = [{"epoch": 1, "train_loss": 1.0, "valid": valid + 1}]
    curve.append({"epoch": 2, "train_loss": 1.0, "valid": valid})
    return {
        "variant": variant,
        "seed": seed,
        "parameters": 1234,
        "valid": valid,
        "test": test,
        "best_epoch": 2,
        "epochs": 2,
        "ms_per_step": 1.5,
        "seconds": 1.0,
        "threads": 1,
        "curve": curve,
    }


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_live_lines_are_rewritten_and_never_wrap(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    stream = Terminal()
    progress = Progress(2, 10, stream)
    runs = [Run("PeepholeLSTM", 0), Run("GRU", 0)]
    for run in runs:
        progress("start", run, None)
        progress("progress", run, {"epoch": 1, "valid": 2.0, "best": 1.5})
    assert "GRU seed 0: epoch 1/10, validation 2.0000, best 1.5000" in stream.getvalue()
    progress("done", runs[1], record("GRU", 0, 1.0))
    progress("failed", runs[0], "Diverged")
    text = stream.getvalue()
    assert "[1/2] GRU seed 0: validation 1.0000, test 1.0000" in text
    assert "[2/2] PeepholeLSTM seed 0: FAILED: Diverged" in text
    live = [line for line in text.splitlines() if "epoch" in line]
    assert max(len(re.sub(r"\x1b\[\d*[AJ]", "", line)) for line in live) <= 59
    drawn = sum(line.count("epoch") + line.count("starting") for line in text.splitlines())
    cleared = sum(int(n) for n in re.findall(r"\x1b\[(\d+)A", text))
    assert drawn == cleared


class TestReport:
    @pytest.fixture
    def task(self):
        return tasks.load("digits")

    def test_table_is_sorted_by_validation_and_marks_scores_above_the_floor(self, task):
        floor = task.floors[task.target]["test"]
        records = [
            record("LSTM", 0, 3.0, floor - 1) | {"threads": 2},
            record("GRU", 0, 1.0, floor + 1),
            record("Elman", 0, 2.0, floor),
        ]
        text = report.table(records, {"PeepholeLSTM": 2}, Settings(forget_bias=2.0), task)
        lines = text.splitlines()
        assert [line.split()[0] for line in lines[2:5]] == ["GRU", "Elman", "LSTM"]
        assert " * " in lines[2] and " * " in lines[3] and "*" not in lines[4]
        assert [line.split()[3] for line in lines[2:5]] == ["2.0", "-", "2.0"]
        usual = report.table(records, {}, Settings(), task).splitlines()
        assert [line.split()[3] for line in usual[2:5]] == ["0", "-", "1"]
        assert "2 run(s) failed" in text and "1,234" in text
        assert f"{floor:.4f}" in text
        assert "1.5 (1 thread)" in lines[2] and "1.5 (2 threads)" in lines[4]
        assert " * " in report.table([record("LSTM", 0, 99.0, 0.0)], {}, Settings(), task)
        assert "not below the floor logistic regression" in lines[-1]

    def test_mean_and_spread_over_seeds(self, task):
        values = [1.0, 1.5, 3.5]
        records = [record("LSTM", s, v) for s, v in enumerate(values)]
        text = report.table(records, {}, Settings(), task)
        assert f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}" in text
        assert "2/2/2" in text

    def test_small_scores_keep_their_digits(self):
        assert report.number(4.2e-5) == "4.20e-05"
        assert report.number(0.25) == "0.2500"
        assert report.number(0.0) == "0.0000"

    def test_verdict_names_its_evidence(self, task):
        one = [record("LSTM", 0, 2.0), record("GRU", 0, 1.0)]
        assert "GRU (1.0000 error %)" in report.verdict(one, task)
        assert "may be chance" in report.verdict(one, task)
        clear = [record("LSTM", s, 2.0 + s / 100) for s in range(3)]
        clear += [record("GRU", s, 1.0) for s in range(3)]
        assert "3 of 3 seeds" in report.verdict(clear, task)
        assert "twice its standard error" in report.verdict(clear, task)
        mixed = [record("LSTM", s, v) for s, v in enumerate([1.0, 2.0, 3.1])]
        mixed += [record("GRU", s, v) for s, v in enumerate([2.0, 1.0, 3.0])]
        assert "call it a tie" in report.verdict(mixed, task)
        assert "nothing to compare" in report.verdict([], task)
        assert report.verdict(one[:1], task).startswith("Best by validation: LSTM")

    def test_curves_show_every_run_and_the_floor(self, task, tmp_path, monkeypatch):
        figures = []
        import matplotlib.figure

        save = matplotlib.figure.Figure.savefig
        monkeypatch.setattr(
            matplotlib.figure.Figure,
            "savefig",
            lambda figure, *a, **k: (figures.append(figure), save(figure, *a, **k)),
        )
        records = [record("LSTM", s, 4.0 + s) for s in range(2)] + [record("GRU", 0, 3.0)]
        report.draw_curves(records, task, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
        (axes,) = figures[0].axes
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert labels == ["GRU (best 3.0000)", "LSTM (best 4.5000)"]
        drawn = [list(line.get_ydata()) for line in axes.lines]
        assert [4.0, 3.0] in drawn and [5.0, 4.0] in drawn and [6.0, 5.0] in drawn
        assert axes.get_xlabel() == "epoch" and "error %" in axes.get_ylabel()
        notes = [text.get_text() for text in axes.texts]
        assert any("logistic regression" in note for note in notes)
        assert not any("majority" in note for note in notes)

    def test_curves_of_many_variants_can_be_told_apart(self, task, tmp_path, monkeypatch):
        figures = []
        import matplotlib.figure

        monkeypatch.setattr(
            matplotlib.figure.Figure, "savefig", lambda figure, *a, **k: figures.append(figure)
        )
        records = [record(v, 0, 4.0 + k) for k, v in enumerate(list_variants())]
        report.draw_curves(records, task, tmp_path / "curves.png")
        (axes,) = figures[0].axes
        lines = [line for line in axes.lines if line.get_marker() != "None"]
        looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}
        assert len(looks) == len(records) == len(lines)
        assert axes.get_legend() is None
        assert len(figures[0].legends[0].get_texts()) == len(records)


class TestStore:
    def test_other_settings_are_another_comparison(self, tmp_path):
        store = Store(tmp_path / "out")
        store.open(Settings(units=3).identity("abc"))
        store.save_results({"identity": Settings(units=3).identity("abc"), "runs": []})
        store.open(Settings(units=3).identity("abc"))
        with pytest.raises(StoreError, match="another comparison.*units 3 there, 4 here"):
            store.open(Settings(units=4).identity("abc"))
        with pytest.raises(StoreError, match="data_sha256 'abc' there, 'xyz' here"):
            store.open(Settings(units=3).identity("xyz"))

    def test_path_of_a_text_is_no_part_of_the_identity(self):
        one, two = (Settings(task="text", text=t).identity("abc") for t in ("a.txt", "b/a.txt"))
        assert one == two

    def test_foreign_folder(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("x")
        with pytest.raises(StoreError, match="not empty and holds no comparison"):
            Store(tmp_path).open(Settings().identity("abc"))
        assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]

    def test_folder_of_a_comparison_killed_before_its_first_result(self, tmp_path):
        (tmp_path / "runs").mkdir()
        (tmp_path / "tensorflow.log").write_text("")
        (tmp_path / "runs" / ".partial-GRU-seed0.keras").write_text("half")
        Store(tmp_path).open(Settings().identity("abc"))
        assert not list((tmp_path / "runs").iterdir())

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"identity": 3}'])
    def test_broken_results(self, tmp_path, content):
        (tmp_path / "results.json").write_text(content)
        with pytest.raises(StoreError, match=r"unreadable results\.json|another comparison"):
            Store(tmp_path).open(Settings().identity("abc"))

    def test_half_a_record_is_no_record(self, tmp_path):
        store = Store(tmp_path)
        store.open(Settings().identity("abc"))
        for text in ('{"variant": "LS', '{"variant": "LSTM"}', "[]"):
            (store.runs / "LSTM-seed0.json").write_text(text)
            assert store.load_run(Run("LSTM", 0)) is None
            assert store.finished_runs() == {}

    def test_writing_is_all_or_nothing(self, tmp_path, monkeypatch):
        path = tmp_path / "file"
        write_atomically(path, b"before")
        monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            write_atomically(path, b"after")
        assert path.read_bytes() == b"before"
        assert [p.name for p in tmp_path.iterdir()] == ["file"]


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

    def test_own_text(self, tmp_path, text_file):
        done = klv(
            "compare", "--text", text_file, "--units", 8, "--epochs", 1, "--no-jit",
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
