"""The scripts in `benchmarks/`, in a tiny setting. Nothing asserts on times."""

import csv
import importlib
import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from bench_helpers import SHAPE, row

from keras_lstm_variants.bench import environment

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def script(monkeypatch, capfd):
    """Runs a script in this process: its exit code, its output and its errors."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setitem(sys.modules, "quiet", types.ModuleType("quiet"))

    def run(name, *arguments):
        capfd.readouterr()
        code = importlib.import_module(name).main(list(map(str, arguments)))
        return code, *capfd.readouterr()

    yield run
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.processes
@pytest.mark.slow
class TestScripts:
    def test_speed_writes_each_piece_and_resumes(self, tmp_path, script):
        command = ["--grid", SHAPE, "--repeats", 1, "--no-torch", "--jit", "off"]
        command += ["--kind", "inference", "--output", tmp_path, "--variants"]
        code, _, err = script("speed", *command, "Elman")
        assert code == 0 and err == "", err
        before = json.loads((tmp_path / "speed.json").read_text())["pieces"]
        code, out, err = script("speed", *command, "Elman", "--options", "--resume")
        assert code == 0 and err == "", err
        assert "[1/2] speed Elman 2x4x3x5: finished already" in out
        pieces = json.loads((tmp_path / "speed.json").read_text())["pieces"]
        assert pieces[:1] == before
        assert [p["name"] for p in pieces] == ["speed Elman 2x4x3x5", "options LSTM 2x4x3x5"]
        assert [(r["side"], r["option"]) for r in pieces[1]["rows"]] == [
            ("klv", ""), ("keras", ""), ("klv", "mask"), ("keras", "mask"),
        ]  # fmt: skip
        with open(tmp_path / "speed.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [r["piece"] for r in rows] == [p["name"] for p in pieces for _ in p["rows"]]

        code, _, err = script("speed", *command, "Elman", "--resume", "--repeats", 2)
        assert code == 2
        assert err.count("\n") == 1 and "repeats 1 there, 2 here" in err

    def test_memory(self, tmp_path, script):
        code, _, err = script(
            "memory", "--shape", "2x16x3x5", "--runs", 1, "--output", tmp_path,
            "--contenders", "klv.LSTM(recompute=True)", "--forms", "last", "--jit", "off",
        )  # fmt: skip
        assert code == 0 and err == "", err
        results = json.loads((tmp_path / "memory.json").read_text())
        (found,) = results["rows"]
        assert found["contender"] == "klv.LSTM(recompute=True)" and found["runs"] == 1
        assert 0 <= found["growth_mb"] < found["peak_mb"]
        with open(tmp_path / "memory.csv", newline="") as file:
            assert float(next(csv.DictReader(file))["growth_mb"]) == found["growth_mb"]

    def test_fits(self, tmp_path, script):
        code, _, err = script(
            "fits", "--shape", "2x10x3x5", "--steps", "2,3", "--random-steps", 2, "--runs", 1,
            "--forms", "two", "--contenders", "klv", "--output", tmp_path,
        )  # fmt: skip
        assert code == 0 and err == "", err
        fixed, random = json.loads((tmp_path / "fits.json").read_text())["rows"]
        assert 0 < fixed["fit_2_s"] < fixed["fit_3_s"] and fixed["predict_s"] > 0
        assert (random["job"], random["fit_3_s"], random["predict_s"]) == ("random", None, None)
        assert random["fit_2_s"] > 0

    def test_short(self, tmp_path, script, monkeypatch):
        from keras_lstm_variants.engine.tensorflow import recurring

        monkeypatch.setattr(recurring, "_at_once", False)  # else it stays true
        code, _, err = script(
            "short", "--lengths", 2, "--layers", "GRU", "--rounds", 1, "--output", tmp_path
        )
        assert code == 0 and err == "", err
        rows = json.loads((tmp_path / "short.json").read_text())["rows"]
        assert [r["layer"] for r in rows] == ["GRU", "Bidirectional(GRU)"]
        for found in rows:
            times = [v for k, v in found.items() if k.endswith("_s")]
            assert len(times) == 6 and all(np.isfinite(times))
            assert found["klv_step_s"] > 0 and found["keras_build_s"] > 0
        code, _, err = script("report", "--results", tmp_path, "--output", tmp_path / "R.md")
        assert code == 0 and err == "", err
        assert "| GRU | 2 | " in (tmp_path / "R.md").read_text()

    def test_report(self, tmp_path, script):
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
        code, _, err = script("report", "--results", tmp_path, "--output", tmp_path / "RESULTS.md")
        assert code == 0 and err == "", err
        text = (tmp_path / "RESULTS.md").read_text()
        for line in (
            "| LSTM | step | 1 | 0.25 | 0.25 | - | - | 0.25 | - | - |",
            "| LSTM | 2x4x3x5 | step | 1.00 | 1.00 | 0.25 | 0.25 | - | - | 0.25 | - | - |",
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
        ("speed", ["--grid", "1,9"], "--grid must be .*'9'"),
        ("memory", ["--contenders", "klv.GRU"], "--contenders must be .*'klv.GRU'"),
        ("fits", ["--steps", "2,x"], "--steps must be whole numbers"),
        ("short", ["--lengths", "2,x"], "--lengths must be whole numbers"),
        ("short", ["--layers", "LSMT"], "--layers must be some of .*'LSMT'"),
    ],
)
def test_bad_input(name, arguments, message, script):
    code, _, err = script(name, *arguments)
    assert code == 2
    assert err.count("\n") == 1 and re.search(message, err), err
