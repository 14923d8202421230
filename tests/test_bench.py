"""`klv bench` and the scripts in `benchmarks/`, in a tiny setting. Nothing asserts on times."""

import csv
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_lstm_variants as klv
from keras_lstm_variants.bench import contenders, driver, environment, report, tensorflow_side
from keras_lstm_variants.bench.contenders import Contender, Shape, contenders_of, parse_shape
from keras_lstm_variants.cli import main
from keras_lstm_variants.engine.timing import inference, product_floor, training_step

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SHAPE = Shape(2, 4, 3, 5)
TINY = ["bench", "--shape", str(SHAPE), "--repeats", "2", "--no-torch", "--variants", "LSTM"]


def script(name, *arguments):
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def row(side, median, *, jit=False, variant="LSTM", kind="step", batch=2, option=""):
    values = {"variant": variant, "kind": kind, "side": side, "contender": side, "jit": jit}
    shape = SHAPE._replace(batch=batch)._asdict()
    found = {**dict.fromkeys(driver.COLUMNS), **values, **shape, "option": option, "error": ""}
    return {**found, "median_ms": median}


class TestTiming:
    """What is timed does what it says."""

    @pytest.mark.parametrize("jit", [False, True])
    def test_step_and_inference_compute_the_layer(self, jit):
        layer, random = klv.LSTM(5, return_sequences=True), np.random.default_rng(0)
        x = random.standard_normal((2, 4, 3), "float32")
        mask = np.array([[1, 0, 1, 1], [0, 1, 1, 0]], bool)
        layer.build(x.shape)
        y = layer(x).numpy()
        masked = layer(x, mask=mask).numpy()
        assert training_step(layer, x, jit)() == pytest.approx(np.sum(y**2) / 2, rel=1e-4)
        step = training_step(layer, x, jit, mask=mask, input_gradient=False)
        assert step() == pytest.approx(np.sum(masked**2) / 2, rel=1e-4)
        assert inference(layer, x, jit)() == pytest.approx(y[0, 0, 0], rel=1e-4)

    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize("columns", [5, 20])
    def test_floor_is_finite_after_many_steps(self, training, columns):
        run = product_floor(2, 2000, 3, 5, 20, columns, False, training)
        assert math.isfinite(run()) and abs(run()) < 1e4

    def test_floor_needs_a_product_for_every_unit(self):
        with pytest.raises(ValueError, match="`recurrent_columns`.*recurrent_columns=4, units=5"):
            product_floor(2, 4, 3, 5, 20, 4, False, True)

    def test_columns_of_the_products(self):
        found = {
            v: tensorflow_side.products_of(klv.get_variant(v), 3, 5) for v in klv.list_variants()
        }
        assert found["LSTM"] == found["PeepholeLSTM"] == (20, 20)
        assert found["CoupledLSTM"] == found["GRU"] == (15, 15)
        assert found["FGRLSTM"] == (20, 20 + 9 * 5)
        assert all(of_state >= 5 for _, of_state in found.values())


class TestContenders:
    def test_shapes(self):
        assert parse_shape("16x100x32x64") == Shape(16, 100, 32, 64)
        assert str(Shape(16, 100, 32, 64)) == "16x100x32x64"

    def test_sides_of_each_variant(self):
        def sides(variant, **options):
            found = contenders_of(variant, SHAPE, "step", jits=(True,), **options)
            return [c.side for c in found if c.threads is None]

        assert sides("LSTM", torch=("torch",)) == [
            "klv", "keras", "rnn", "rnn_keras", "floor", "torch",
        ]  # fmt: skip
        assert sides("CoupledLSTM", torch=("torch",)) == ["klv", "keras", "rnn", "floor", "torch"]
        assert sides("MUT1", torch=("torch",)) == ["klv", "rnn", "floor"]
        assert sides("GRU", torch=()) == ["klv", "keras", "rnn", "rnn_keras", "floor"]

    def test_names_say_what_is_timed(self):
        names = [c.name for c in contenders_of("PeepholeLSTM", SHAPE, "step", jits=(True,))]
        assert names[:3] == ["klv.PeepholeLSTM", "keras.layers.LSTM", "RNN(klv.PeepholeLSTMCell)"]
        assert {"torch.nn.LSTM", "torchrecurrent.PeepholeLSTM"} <= set(names)
        alone = Contender("torch", "GRU", SHAPE, "step", None, threads=1)
        assert alone.name == "torch.nn.GRU, 1 thread"

    def test_every_contender_of_every_variant_can_be_built(self):
        for variant in klv.list_variants():
            for contender in contenders_of(variant, SHAPE, "step", jits=(True,), torch=()):
                assert tensorflow_side.make(contender.message()) is not None, contender

    def test_layers_are_what_the_names_say(self):
        for side, kind in (
            ("klv", "LSTM"),
            ("keras", "LSTM"),
            ("rnn", "RNN"),
            ("rnn_keras", "RNN"),
        ):
            contender = Contender(side, "LSTM", SHAPE, "step", True, "dropout")
            layer = tensorflow_side.make_layer(contender.message())
            assert type(layer).__name__ == kind and layer.return_sequences
            assert layer.cell.dropout == layer.cell.recurrent_dropout == 0.2
            ours = isinstance(layer.cell, klv.Cell)
            assert ours is (side in ("klv", "rnn"))

    @pytest.mark.skipif("torch" not in contenders.installed_torch(), reason="needs torch")
    def test_torch_runs_in_a_process_without_tensorflow(self):
        file = driver.__file__.replace("driver.py", "torch_side.py")
        contender = Contender("torch", "GRU", SHAPE, "step", None).message()
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import runpy, sys\n"
                f"side = runpy.run_path({file!r})\n"
                "side['start'](1)\n"
                f"assert side['make']({contender!r})() > 0\n"
                f"assert side['make']({ {**contender, 'kind': 'inference'}!r})() != 0\n"
                "assert not {'tensorflow', 'keras'} & set(sys.modules)",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


class TestReport:
    def test_best_setting_of_each_side_counts(self):
        rows = [row("klv", 3.0), row("klv", 2.0, jit=True), row("keras", 4.0), row("floor", 1.0)]
        rows += [row("keras", 8.0, jit=True), row("torch", None), row("rnn", 8.0)]
        (ratios,) = report.ratio_rows(rows)
        assert (ratios["klv_ms"], ratios["klv_jit"]) == (2.0, True)
        assert ratios["klv/keras"] == 0.5 and ratios["floor/klv"] == 0.5
        assert ratios["klv/RNN(cell)"] == 0.25 and ratios["klv/torch"] is None

    def test_geometric_means_over_the_shapes_that_have_the_ratio(self):
        rows = []
        for batch, keras in ((1, 2.0), (2, 8.0), (3, None)):
            rows += [row("klv", 4.0, batch=batch), row("keras", keras, batch=batch)]
        rows += [row("klv", 9.0, kind="inference"), row("keras", 3.0, kind="inference")]
        step, infer = report.geometric_means(report.ratio_rows(rows))
        assert step["klv/keras"] == pytest.approx((2 * 0.5) ** 0.5)
        assert (step["kind"], step["shapes"], step["klv/torch"]) == ("step", 3, None)
        assert infer["klv/keras"] == pytest.approx(3)

    def test_options_are_beside_the_same_side_without(self):
        rows = [row("klv", 2.0), row("klv", 1.0, jit=True), row("klv", 3.0, option="mask")]
        rows += [row("keras", 4.0), row("keras", 6.0, option="mask")]
        found = report.option_rows(rows)
        assert [(r["side"], r["option"], r["ratio"]) for r in found] == [
            ("klv", "mask", 3.0),
            ("keras", "mask", 1.5),
        ]

    def test_summary(self):
        found = driver.summary([3.0, 1.0, 2.0, 5.0, 4.0])
        assert found == {
            "median_ms": 3.0,
            "min_ms": 1.0,
            "quartile1_ms": 2.0,
            "quartile3_ms": 4.0,
            "max_ms": 5.0,
        }
        assert set(driver.summary([2.0]).values()) == {2.0}

    def test_turns_change_who_is_first_and_who_is_next(self):
        rounds = [driver.turns(list("abcd"), k) for k in range(8)]
        assert all(sorted(r) == list("abcd") for r in rounds)
        assert {r[0] for r in rounds} == set("abcd")
        after_a = {r[r.index("a") + 1] for r in rounds if r[-1] != "a"}
        assert len(after_a) > 1

    def test_tables(self):
        table = (["a", "b"], [["1", "22"], ["333", ""]])
        assert report.plain(table) == "a    b\n-------\n1    22\n333"
        assert report.markdown(table) == "| a | b |\n| --- | --- |\n| 1 | 22 |\n| 333 |  |"


def test_environment_names_versions_and_machine():
    found = environment.environment()
    assert {"python", "numpy", "keras", "keras_lstm_variants"} <= set(found["versions"])
    assert found["machine"]["cores"] >= 1 and found["machine"]["cpu"]
    assert re.fullmatch(r"[0-9a-f]{40}\+?|None", str(found["git_commit"]))


class TestCommand:
    def test_rows_files_and_ratios_agree(self, tmp_path, capsys):
        output = tmp_path / "a" / "out"
        assert main([*TINY, "--output", str(output)]) == 0
        captured = capsys.readouterr()
        results = json.loads((output / "bench.json").read_text())
        with open(output / "bench.csv", newline="") as file:
            read = list(csv.DictReader(file))
        rows = results["rows"]
        # Two kinds; five sides with XLA off and on, and ours compiled by itself.
        assert len(read) == len(rows) == 2 * (2 * 5 + 1)
        for one, other in zip(read, rows, strict=True):
            assert one["contender"] == other["contender"] and one["jit"] == str(other["jit"])
            assert float(one["median_ms"]) == other["median_ms"] > 0
            low, high = other["quartile1_ms"], other["quartile3_ms"]
            assert other["min_ms"] <= low <= other["median_ms"] <= high <= other["max_ms"]
            assert other["first_call_s"] > 0 and other["repeats"] == 2 and other["error"] == ""
        for ratios in results["ratios"]:
            group = [r for r in rows if r["kind"] == ratios["kind"]]
            medians = {
                side: min(r["median_ms"] for r in group if r["side"] == side)
                for side in ("klv", "keras", "rnn", "floor")
            }
            assert ratios["klv/keras"] == pytest.approx(medians["klv"] / medians["keras"])
            assert ratios["klv/RNN(cell)"] == pytest.approx(medians["klv"] / medians["rnn"])
            assert ratios["floor/klv"] == pytest.approx(medians["floor"] / medians["klv"])
            assert ratios["klv/torch"] is None
            assert f"{ratios['klv/keras']:.2f}" in captured.out
        assert results["geometric_means"] == report.geometric_means(results["ratios"])
        assert results["settings"]["shapes"] == ["2x4x3x5"]
        assert results["environment"]["versions"]["keras"]
        assert "Geometric means" in captured.out and "matrix products alone" in captured.out
        assert captured.err.splitlines() == [
            "[1/2] LSTM 2x4x3x5 step: 11 contenders",
            "[2/2] LSTM 2x4x3x5 inference: 11 contenders",
        ]

    def test_a_variant_of_ones_own_and_one_that_fails(self, tmp_path, monkeypatch):
        (tmp_path / "own_variants.py").write_text(
            "import keras_lstm_variants as klv\n"
            "@klv.register(package='own')\n"
            "class BrokenCell(klv.ElmanCell):\n"
            "    def step(self, z, states, training=False):\n"
            "        raise RuntimeError('broken on purpose')\n"
            "@klv.register(package='own')\n"
            "class Broken(klv.CellLayer):\n"
            "    cell_class = BrokenCell\n"
        )
        command = [*TINY[:-1], "Broken", "--kind", "inference", "--jit", "off"]
        command += ["--import", "own_variants", "--output", "out"]
        done = subprocess.run(
            [sys.executable, "-m", "keras_lstm_variants", *command],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert "FAILED: Broken, XLA off, inference of 2x4x3x5: " in done.stderr
        assert "broken on purpose" in done.stderr and "Traceback" not in done.stderr
        rows = json.loads((tmp_path / "out" / "bench.json").read_text())["rows"]
        assert [bool(r["error"]) for r in rows] == [True, True, False, True]

    def test_a_process_that_dies_ends_the_run_with_one_line(self, capsys, monkeypatch):
        ask = driver.Worker.ask

        def kill_at_first_run(worker, request, about=""):
            if request["do"] == "run":
                os.kill(worker.process.pid, signal.SIGKILL)
                worker.process.wait()
            return ask(worker, request, about)

        monkeypatch.setattr(driver.Worker, "ask", kill_at_first_run)
        assert main([*TINY, "--kind", "inference", "--jit", "off"]) == 1
        (line,) = capsys.readouterr().err.splitlines()[1:]
        assert re.match(
            "klv bench: the tensorflow process died while it timed klv.LSTM, XLA off, "
            r"inference of 2x4x3x5 \(exit code -9\)",
            line,
        )

    def test_its_processes_end_with_it_even_in_the_middle_of_a_run(self, tmp_path):
        requests = [
            {"do": "start", "path": sys.path, "threads": 1, "modules": []},
            {"do": "add", "contender": {}},
        ]
        (tmp_path / "slow_side.py").write_text(
            "import time\n"
            "def start(threads): pass\n"
            "def make(contender): return lambda: time.sleep(300)\n"
        )
        shutil.copy(Path(driver.__file__).with_name("worker.py"), tmp_path)
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "worker.py"), "slow"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        process.stdin.write("".join(json.dumps(request) + "\n" for request in requests))
        process.stdin.flush()
        assert process.stdout.readline() == "{}\n"
        # `communicate` closes its input, as the end of the parent does.
        process.communicate(timeout=60)
        assert process.returncode == 1


BAD = {
    "variant": (["--variants", "LTSM"], "'LTSM'.*Did you mean 'LSTM'"),
    "no variant": (["--variants", ","], "--variants ',' names no variant"),
    "three sizes": (["--shape", "2x3x4"], "--shape must be BATCHxTIME.*'2x3x4'"),
    "zero": (["--shape", "2x0x4x5"], "--shape.*whole numbers above 0.*'2x0x4x5'"),
    "negative": (["--shape", "2x-3x4x5"], "--shape.*'2x-3x4x5'"),
    "words": (["--shape", "small"], "--shape.*'small'"),
    "one of two": (["--shape", "2x3x4x5", "--shape", "2x3"], "--shape.*'2x3'"),
    "repeats": (["--repeats", "0"], "--repeats must be a whole number from 1 to .*Received: 0"),
    "many repeats": (["--repeats", str(2**70)], "--repeats must be"),
    "no shape": (["--shape", ""], "--shape must be.*''"),
    "large shape": (["--shape", "1x1x1x1000000"], "takes at least 4,000,012,000,008 bytes; this"),
    "larger shape": (["--shape", "9" * 50 + "x1x1x1"], "--shape 9.*takes at least .* bytes"),
    "no output": (["--output", ""], "--output must be a path. Received: ''"),
    "output with NUL": (["--output", "a\0b"], "--output must be a path"),
    "output is a file": (["--output", "file"], "cannot write to --output 'file'"),
    "output below a file": (["--output", "file/out"], "cannot write to --output 'file/out'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_code_2(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    arguments, message = BAD[case]
    assert main(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and captured.err.startswith("klv bench: ")
    assert re.search(message, captured.err), captured.err


@pytest.mark.parametrize("arguments", [["--repeats", "x"], ["--kind", "all"], ["--shpe", "1"]])
def test_unknown_option_is_argparse_code_2(capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        main(["bench", *arguments])
    assert exit_.value.code == 2
    assert "usage: klv bench" in capsys.readouterr().err


class TestScripts:
    def test_speed_writes_each_piece_and_resumes(self, tmp_path):
        command = ["--grid", SHAPE, "--repeats", 1, "--no-torch", "--jit", "off"]
        command += ["--kind", "inference", "--output", tmp_path, "--variants"]
        first = script("speed.py", *command, "Elman")
        assert first.returncode == 0 and first.stderr == "", first.stderr
        before = json.loads((tmp_path / "speed.json").read_text())["pieces"]
        done = script("speed.py", *command, "Elman", "--options", "--resume")
        assert done.returncode == 0 and done.stderr == "", done.stderr
        assert "[1/2] speed Elman 2x4x3x5: finished already" in done.stdout
        pieces = json.loads((tmp_path / "speed.json").read_text())["pieces"]
        assert pieces[:1] == before
        assert [p["name"] for p in pieces] == ["speed Elman 2x4x3x5", "options LSTM 2x4x3x5"]
        assert [(r["side"], r["option"]) for r in pieces[1]["rows"]] == [
            ("klv", ""), ("keras", ""), ("klv", "mask"), ("keras", "mask"),
        ]  # fmt: skip
        with open(tmp_path / "speed.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [r["piece"] for r in rows] == [p["name"] for p in pieces for _ in p["rows"]]

        other = script("speed.py", *command, "Elman", "--resume", "--repeats", 2)
        assert other.returncode == 2
        assert other.stderr.count("\n") == 1 and "repeats 1 there, 2 here" in other.stderr

    def test_memory(self, tmp_path):
        done = script(
            "memory.py", "--shape", "2x16x3x5", "--runs", 1, "--output", tmp_path,
            "--contenders", "klv.LSTM(recompute=True)", "--forms", "last", "--jit", "off",
        )  # fmt: skip
        assert done.returncode == 0 and done.stderr == "", done.stderr
        results = json.loads((tmp_path / "memory.json").read_text())
        (found,) = results["rows"]
        assert found["contender"] == "klv.LSTM(recompute=True)" and found["runs"] == 1
        assert 0 <= found["growth_mb"] < found["peak_mb"]
        with open(tmp_path / "memory.csv", newline="") as file:
            assert float(next(csv.DictReader(file))["growth_mb"]) == found["growth_mb"]

    def test_report(self, tmp_path):
        where = environment.environment()
        piece = {"name": "", "git_commit": "abc", "load_before": 0.5, "date": ""}
        pieces = [
            {**piece, "what": "speed", "rows": [row("klv", 1.0), row("keras", 4.0)]},
            {**piece, "what": "options", "rows": [row("klv", 1.0), row("klv", 3.0, option="mask")]},
        ]
        settings = {"repeats": 7, "warm_time": 8, "runs": 5, "shape": "2x4x3x5"}
        results = {"environment": where, "settings": settings, "pieces": pieces}
        (tmp_path / "speed.json").write_text(json.dumps(results))
        growth = {"growth_mb": 5.0, "growth_min_mb": 4.0, "growth_max_mb": 6.0}
        measured = {**growth, "second_step_s": 0.5, "form": "last", "jit": False, "error": ""}
        rows = [
            {**measured, "contender": "keras.layers.LSTM", "growth_mb": 20.0},
            {**measured, "contender": "klv.LSTM"},
            {**measured, "contender": "torch.nn.LSTM", "jit": None, "growth_mb": 10.0},
            {**measured, "contender": "klv.PeepholeLSTM", "growth_mb": None, "error": "no memory"},
        ]
        results = {"environment": where, "settings": settings, "rows": rows}
        (tmp_path / "memory.json").write_text(json.dumps(results))
        done = script("report.py", "--results", tmp_path, "--output", tmp_path / "RESULTS.md")
        assert done.returncode == 0 and done.stderr == "", done.stderr
        text = (tmp_path / "RESULTS.md").read_text()
        for line in (
            "| LSTM | step | 1 | 0.25 | - | - | - | - | - |",
            "| LSTM | 2x4x3x5 | step | 1.00 | off | 0.25 | - | - | - | - | - |",
            "| klv.LSTM | 2x4x3x5 | step | a random mask | 3.00 | 1.00 | 3.00 |",
            "| last | klv.LSTM | off | 5.0 | 4.0 | 6.0 | 0.25 | 0.50 |",
            "| last | torch.nn.LSTM | - | 10.0 | 4.0 | 6.0 | 0.50 | 0.50 |",
            "- klv.PeepholeLSTM: no memory",
        ):
            assert line in text.splitlines()
        assert where["machine"]["cpu"] in text and "keras " in text and "medians over 7" in text

    @pytest.mark.parametrize(
        ("name", "arguments", "message"),
        [
            ("speed.py", ["--grid", "1,9"], "--grid must be .*'9'"),
            ("memory.py", ["--contenders", "klv.GRU"], "--contenders must be .*'klv.GRU'"),
        ],
    )
    def test_bad_input(self, name, arguments, message):
        done = script(name, *arguments)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1 and re.search(message, done.stderr), done.stderr
