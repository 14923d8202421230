"""`klv compare`: its report, its progress and its store."""

import io
import json
import re
import statistics
import types

import pytest

from keras_lstm_variants._cli.tables import number
from keras_lstm_variants._cli.work_folder import StoreError
from keras_lstm_variants.compare import report
from keras_lstm_variants.compare.progress import Progress
from keras_lstm_variants.compare.settings import Run, Settings
from keras_lstm_variants.compare.store import Store
from keras_lstm_variants.core.registry import list_variants


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
    progress = Progress(2, 10, 2, stream)
    runs = [Run("PeepholeLSTM", 0), Run("GRU", 0)]
    for run in runs:
        progress("start", run, None)
        progress("progress", run, {"stage": "compiling the step"})
        progress("progress", run, {"epochs": 0.25, "epoch_seconds": 1.0})
        progress("progress", run, {"epochs": 1, "epoch_seconds": 1.0, "valid": 2.0, "best": 1.5})
    for line in ("compiling the step", "epoch 1/10, 25 %", "epoch 2/10, 0 %, validation 2.0000"):
        assert f"GRU seed 0: {line}" in stream.getvalue()
    progress("done", runs[1], record("GRU", 0, 1.0))
    progress("failed", runs[0], "Diverged")
    text = stream.getvalue()
    assert "[1/2] GRU seed 0: validation 1.0000, test 1.0000" in text
    assert "[2/2] PeepholeLSTM seed 0: FAILED: Diverged" in text
    live = [line for line in text.splitlines() if "epoch" in line]
    assert max(len(re.sub(r"\x1b\[\d*[AJ]", "", line)) for line in live) <= 59
    assert "0 of 2 runs done, about 9 s left" in text
    assert "left" not in text.splitlines()[-1]
    words = ("epoch", "starting", "compiling", "runs done")
    drawn = sum(line.count(word) for line in text.splitlines() for word in words)
    cleared = sum(int(n) for n in re.findall(r"\x1b\[(\d+)A", text))
    assert drawn == cleared


def test_one_estimate_for_the_whole(monkeypatch):
    """Two at a time, 10 epochs of 2 s each, 5 s to start: 25 s a run, 75 s for five."""
    now = [0.0]
    clock = types.SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("keras_lstm_variants.compare.progress.time", clock)
    progress = Progress(5, 10, 2, io.StringIO())
    one, two, three = (Run("GRU", seed) for seed in range(3))
    progress("start", one, None)
    progress("start", two, None)
    now[0] = 5.0
    progress("progress", one, {"stage": "compiling"})
    assert progress.left() is None
    now[0] = 6.0
    progress("progress", one, {"epochs": 0.5, "epoch_seconds": 2.0})
    assert progress.left() == pytest.approx(69)
    progress("progress", two, {"epochs": 0.5, "epoch_seconds": 2.0})
    now[0] = 25.0
    for run in (one, two):
        progress("progress", run, {"epochs": 10, "epoch_seconds": 2.0})
    assert progress.left() == pytest.approx(50)
    progress("done", one, record("GRU", 0, 1.0))
    progress("start", three, None)
    assert progress.left() == pytest.approx(50)


class TestReport:
    @pytest.fixture
    def task(self, digits):
        return digits

    def test_table_is_sorted_by_validation_and_marks_scores_no_better_than_the_baseline(self, task):
        baseline = task.baselines[task.target]["test"]
        records = [
            record("LSTM", 0, 3.0, baseline - 1) | {"threads": 2},
            record("GRU", 0, 1.0, baseline + 1),
            record("Elman", 0, 2.0, baseline),
        ]
        text = report.table(records, {"PeepholeLSTM": 2}, Settings(forget_bias=2.0), task)
        lines = text.splitlines()
        assert [line.split()[0] for line in lines[2:5]] == ["GRU", "Elman", "LSTM"]
        assert " * " in lines[2] and " * " in lines[3] and "*" not in lines[4]
        assert lines[2].index(" * ") > lines[0].index("test")
        assert [line.split()[3] for line in lines[2:5]] == ["2.0", "-", "2.0"]
        usual = report.table(records, {}, Settings(), task).splitlines()
        assert [line.split()[3] for line in usual[2:5]] == ["0", "-", "1"]
        assert "2 run(s) failed" in text and "1,234" in text
        assert f"{baseline:.4f}" in text
        assert "1.5 (1 thread)" in lines[2] and "1.5 (2 threads)" in lines[4]
        assert lines[-1] == (
            "* GRU, Elman: no better than the baseline logistic regression in test, but better in "
            "validation, which chose the epoch: not sure yet."
        )

    @pytest.mark.parametrize(
        ("valid", "test", "stars", "reason"),
        [
            (1.0, 1.0, 0, None),
            (99.0, 1.0, 1, "in validation, but better in test: not sure yet"),
            (1.0, 99.0, 1, "in test, but better in validation, which"),
            (99.0, 99.0, 2, "in validation and test: no use of memory is shown"),
            (float(99), float("nan"), 2, "in validation and test: no use of memory is shown"),
        ],
    )
    def test_a_baseline_that_is_not_beaten_is_named_with_the_split(
        self, task, valid, test, stars, reason
    ):
        text = report.table([record("LSTM", 0, valid, test)], {}, Settings(), task)
        row, *notes = (line for line in text.splitlines() if line.startswith(("LSTM", "*")))
        assert row.count("*") == stars
        start = "* LSTM: no better than the baseline logistic regression "
        assert [note.startswith(start + reason) for note in notes] == [True] * (stars > 0)

    def test_mean_and_spread_over_seeds(self, task):
        values = [1.0, 1.5, 3.5]
        records = [record("LSTM", s, v) for s, v in enumerate(values)]
        text = report.table(records, {}, Settings(), task)
        assert f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}" in text
        assert "2/2/2" in text

    def test_small_scores_keep_their_digits(self):
        assert number(4.2e-5) == "4.20e-05"
        assert number(0.25) == "0.2500"
        assert number(0.0) == "0.0000"

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
        # Better with both seeds, by 1 and by 4: 2.5 with a standard error of 1.5.
        wide = [record("LSTM", s, v) for s, v in enumerate([2.0, 5.0])]
        wide += [record("GRU", s, 1.0) for s in range(2)]
        assert "call it a tie" in report.verdict(wide, task)
        assert "nothing to compare" in report.verdict([], task)
        assert report.verdict(one[:1], task).startswith("Best by validation: LSTM")

    def test_curves_show_every_run_and_the_baseline(self, task, monkeypatch):
        figures = []
        import matplotlib.figure

        save = matplotlib.figure.Figure.savefig
        monkeypatch.setattr(
            matplotlib.figure.Figure,
            "savefig",
            lambda figure, *a, **k: (figures.append(figure), save(figure, *a, **k)),
        )
        records = [record("LSTM", s, 4.0 + s) for s in range(2)] + [record("GRU", 0, 3.0)]
        assert report.draw_curves(records, task).startswith(b"\x89PNG")
        (axes,) = figures[0].axes
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert labels == ["GRU (best 3.0000)", "LSTM (best 4.5000)"]
        drawn = [list(line.get_ydata()) for line in axes.lines]
        assert [4.0, 3.0] in drawn and [5.0, 4.0] in drawn and [6.0, 5.0] in drawn
        assert axes.get_xlabel() == "epoch" and "error %" in axes.get_ylabel()
        notes = [text.get_text() for text in axes.texts]
        assert any("logistic regression" in note for note in notes)
        assert not any("majority" in note for note in notes)

    def test_curves_of_many_variants_can_be_told_apart(self, task, monkeypatch):
        figures = []
        import matplotlib.figure

        monkeypatch.setattr(
            matplotlib.figure.Figure, "savefig", lambda figure, *a, **k: figures.append(figure)
        )
        names = [*list_variants(), "NotImported"]
        records = [record(v, 0, 4.0 + k) for k, v in enumerate(names)]
        report.draw_curves(records, task)
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
        with Store(tmp_path).held(Settings().identity("abc")):
            assert not list((tmp_path / "runs").iterdir())

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"identity": 3}'])
    def test_broken_results(self, tmp_path, content):
        (tmp_path / "results.json").write_text(content)
        with pytest.raises(StoreError, match=r"unreadable results\.json|another comparison"):
            Store(tmp_path).open(Settings().identity("abc"))

    def test_half_a_record_is_no_record(self, tmp_path):
        store, identity = Store(tmp_path), Settings().identity("abc")
        store.open(identity)
        whole = record("LSTM", 0, 1.0)
        cases = {
            "cut": '{"variant": "LS',
            "short": '{"variant": "LSTM"}',
            "list": "[]",
            "no number": json.dumps({**whole, "test": None}),
            "not finite": json.dumps({**whole, "valid": float("nan")}),
            "no curve": json.dumps({**whole, "curve": []}),
            "of another run": json.dumps({**whole, "seed": 1}),
            "of another comparison": json.dumps({**whole, "identity": {"units": 3}}),
        }
        for case, text in cases.items():
            (store.runs / "LSTM-seed0.json").write_text(text)
            assert store.finished_runs(identity) == ({}, ["LSTM-seed0.json"]), case
        for mark in ({}, {"identity": identity}):
            (store.runs / "LSTM-seed0.json").write_text(json.dumps({**whole, **mark}))
            assert store.finished_runs(identity) == ({Run("LSTM", 0): whole}, [])

    def test_results_that_are_cut_are_made_again_from_the_runs(self, tmp_path):
        store, identity = Store(tmp_path), Settings(units=3).identity("abc")
        store.open(identity)
        model = types.SimpleNamespace(save=lambda path: path.write_text("model"))
        store.save_run(Run("LSTM", 0), record("LSTM", 0, 1.0), model, identity)
        (tmp_path / "results.json").write_text('{"identity": {"un')
        with store.held(identity):
            assert list(store.finished_runs(identity)[0]) == [Run("LSTM", 0)]
        with pytest.raises(StoreError, match="units 3 there, 4 here"):
            store.look(Settings(units=4).known_identity())
