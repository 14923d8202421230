"""`klv bench` as a user runs it, in a tiny setting. Nothing asserts on times."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench_helpers import SHAPE

from keras_lstm_variants.bench import driver, environment, report
from keras_lstm_variants.cli import main

TINY = ["bench", "--shape", str(SHAPE), "--repeats", "2", "--no-torch", "--variants", "LSTM"]


def test_environment_names_versions_and_machine():
    found = environment.environment()
    assert {"python", "numpy", "keras", "keras_lstm_variants"} <= set(found["versions"])
    assert found["machine"]["cores"] >= 1 and found["machine"]["cpu"]
    assert re.fullmatch(r"[0-9a-f]{40}\+?|None", str(found["git_commit"]))


class TestCommand:
    @pytest.mark.slow
    @pytest.mark.processes
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
            off = {r["side"]: r["median_ms"] for r in group if not r["jit"]}
            floor = min(r["median_ms"] for r in group if r["side"] == "floor")
            assert ratios["klv/keras"] == pytest.approx(off["klv"] / off["keras"])
            assert ratios["klv/RNN(cell)"] == pytest.approx(off["klv"] / off["rnn"])
            assert ratios["floor/klv"] == pytest.approx(floor / off["klv"])
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

    @pytest.mark.slow
    @pytest.mark.processes
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

    @pytest.mark.slow
    @pytest.mark.processes
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

    @pytest.mark.slow
    @pytest.mark.processes
    def test_its_processes_end_with_it_even_in_the_middle_of_a_run(self, tmp_path):
        requests = [
            {"do": "start", "path": sys.path, "threads": 1, "modules": []},
            {"do": "add", "contender": {}},
        ]
        (tmp_path / "slow_worker.py").write_text(
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
