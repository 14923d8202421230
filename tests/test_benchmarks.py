"""The scripts in `benchmarks/`, in a tiny setting. Nothing asserts on times."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bench_helpers import SHAPE, row

from keras_lstm_variants.bench import environment

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def script(name, *arguments):
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.processes
@pytest.mark.slow
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

    def test_fits(self, tmp_path):
        done = script(
            "fits.py", "--shape", "2x10x3x5", "--steps", "2,3", "--random-steps", 2, "--runs", 1,
            "--forms", "two", "--contenders", "klv", "--output", tmp_path,
        )  # fmt: skip
        assert done.returncode == 0 and done.stderr == "", done.stderr
        fixed, random = json.loads((tmp_path / "fits.json").read_text())["rows"]
        assert 0 < fixed["fit_2_s"] < fixed["fit_3_s"] and fixed["predict_s"] > 0
        assert (random["job"], random["fit_3_s"], random["predict_s"]) == ("random", None, None)
        assert random["fit_2_s"] > 0
        wrong = script("fits.py", "--steps", "2,x", "--output", tmp_path)
        assert wrong.returncode == 2 and "--steps must be whole numbers" in wrong.stderr

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
