"""What `klv tune` trains on, how grids go, what matters most, and several devices."""

import re
import warnings

import keras_tuner
import numpy as np
import pytest
from test_saving import run_script
from tune_helpers import save_data

from keras_lstm_variants import list_variants, tasks
from keras_lstm_variants.tuning import (
    RecurrentHyperModel,
    data,
    make_tuner,
    picture,
    statistics_of,
)
from keras_lstm_variants.tuning.oracles import hyperband_plan
from keras_lstm_variants.tuning.tuner import SearchError

ROWS = 40
X = np.random.default_rng(0).normal(size=(ROWS, 5, 2))
SYMBOLS = np.random.default_rng(1).integers(7, size=(ROWS, 5))
MASK = np.arange(5) < np.random.default_rng(2).integers(1, 6, size=(ROWS, 1))


def load(tmp_path, head=None, **arrays):
    path = tmp_path / "data.npz"
    np.savez(path, **{"x": X, **arrays})
    return data.from_file(str(path), head=head, seed=0)


class TestFiles:
    @pytest.mark.parametrize(
        ("arrays", "head", "expected"),
        [
            ({"y": np.arange(ROWS) % 3}, None, ("classification", 3, None, "error %")),
            ({"y": SYMBOLS}, None, ("labels", 7, None, "error %")),
            ({"y": X[:, 0, 0]}, None, ("regression", 1, None, "mean squared error")),
            ({"y": X[:, 0]}, None, ("regression", 2, None, "mean squared error")),
            ({"y": np.arange(ROWS)}, "regression", ("regression", 1, None, "mean squared error")),
            ({"y": X}, None, ("values", 2, None, "mean squared error")),
            ({"x": SYMBOLS, "y": X[..., 0]}, "values", ("values", 1, 7, "mean squared error")),
            ({}, "next_step", ("next_step", None, None, "mean squared error")),
            ({"x": SYMBOLS}, "next_step", ("next_step", None, 7, "cross-entropy")),
            ({"x": SYMBOLS, "y": SYMBOLS}, None, ("labels", 7, 7, "error %")),
        ],
    )
    def test_what_is_predicted_follows_from_y(self, tmp_path, arrays, head, expected):
        found = load(tmp_path, head, **arrays)
        assert (found.head, found.outputs, found.symbols, found.metric) == expected
        sizes = [len(getattr(found, s).x) for s in data.SPLITS]
        assert sizes == [28, 6, 6]
        model = RecurrentHyperModel(
            found.input_shape, found.head, found.outputs, symbols=found.symbols, layers=1, units=2,
            variants=["LSTM"], max_timesteps=found.max_timesteps,
        ).build(keras_tuner.HyperParameters())  # fmt: skip
        shape = found.test.y.shape
        if found.metric != "mean squared error":
            shape = (*shape, expected[1] or expected[2])
        assert model(found.test.inputs).shape == shape

    def test_splits_are_whole_and_by_seed_or_given(self, tmp_path):
        x = np.arange(ROWS)[:, None, None] * np.ones((1, 3, 1))
        found = load(tmp_path, x=x, y=np.arange(ROWS) % 2)
        rows = [set(getattr(found, s).x[:, 0, 0]) for s in data.SPLITS]
        assert set.union(*rows) == set(range(ROWS)) and sum(map(len, rows)) == ROWS
        for s in data.SPLITS:
            np.testing.assert_array_equal(
                getattr(found, s).y, getattr(found, s).x[:, 0, 0].astype(int) % 2
            )
        split = np.arange(ROWS) % 3
        given = load(tmp_path, x=x, y=np.arange(ROWS) % 2, split=split)
        np.testing.assert_array_equal(given.valid.x[:, 0, 0], np.flatnonzero(split == 1))
        assert given.sha256 != found.sha256

    def test_next_steps_are_moved_by_one_and_masked_where_there_is_none(self, tmp_path):
        found = load(tmp_path, "next_step", x=SYMBOLS, mask=MASK, split=np.arange(ROWS) % 3)
        kept = np.where(MASK, SYMBOLS, 0)  # what is skipped may be anything
        np.testing.assert_array_equal(found.train.x, kept[::3, :-1])
        np.testing.assert_array_equal(found.train.y, kept[::3, 1:])
        np.testing.assert_array_equal(found.train.mask, MASK[::3, :-1] & MASK[::3, 1:])
        assert set(found.train.inputs) == {"sequence", "mask"}

    def test_labels_of_masked_steps_mean_nothing(self, tmp_path):
        y = np.where(MASK, SYMBOLS, -1)
        found = load(tmp_path, y=y, mask=MASK)
        assert found.train.y.min() == 0 and found.masked
        with pytest.raises(data.DataError, match="negative integer -1"):
            load(tmp_path, y=y)

    def test_labels_that_begin_with_one_are_noticed(self, tmp_path):
        hint = "if yours begin with 1, subtract it"
        assert hint in load(tmp_path, y=np.arange(ROWS) % 2 + 1).about
        assert hint in load(tmp_path, y=np.where(MASK, SYMBOLS % 2 + 1, 0), mask=MASK).about
        assert "subtract" not in load(tmp_path, y=np.arange(ROWS) % 2).about

    def test_what_may_be_meant_otherwise_is_said(self, tmp_path):
        for y in (np.eye(3)[np.arange(ROWS) % 3], np.arange(ROWS) % 3 * 1.0):
            assert "to classify, give integers" in load(tmp_path, y=y).about
        assert "integers (" not in load(tmp_path, y=np.arange(ROWS) / 7).about
        padded = np.where(np.arange(5) < np.arange(ROWS)[:, None] % 5 + 1, SYMBOLS + 1, 0)
        y = np.arange(ROWS) % 2
        assert "if it pads, give a `mask`" in load(tmp_path, x=padded, y=y).about
        assert "if it pads" not in load(tmp_path, x=padded, y=y, mask=padded > 0).about
        assert "if it pads" not in load(tmp_path, x=SYMBOLS, y=y).about

    @pytest.mark.parametrize(
        ("arrays", "head", "message"),
        [
            ({"x": np.where(X > 2, np.nan, X)}, None, r"x\[\d+, \d, \d\] is nan, one of"),
            ({"y": np.full(ROWS, np.inf)}, None, r"y\[0, 0\] is inf, one of 40"),
            ({"x": X[0]}, None, r"x must be numbers \(N, T, F\).*float64 \(5, 2\)"),
            ({"x": X.astype(str)}, None, "x must be numbers"),
            ({"x": X[:, :0]}, None, "x is empty"),
            ({"x": SYMBOLS - 1}, None, "x has the negative integer -1"),
            ({"x": X[..., 0]}, None, r"one number a step \(`x\[\.\.\., None\]`\)"),
            ({"y": np.arange(ROWS - 1)}, None, "x and y must have as many rows.*40 and 39"),
            ({"y": np.arange(ROWS)[:, None]}, None, r"\(40,\) to classify.*`y\[:, 0\]`"),
            ({"y": np.full(ROWS, 3)}, None, "one class only"),
            ({"y": SYMBOLS[:, :3]}, None, r"y must be integers.*\(40, 3\)"),
            ({"y": np.zeros(ROWS, int)}, None, "one class only"),
            ({"y": X[:, :3]}, None, r"or \(40, 5, K\) for values of every step"),
            ({"y": X[:, :0]}, None, "y must be"),
            ({"y": X[:, 0, 0]}, "classification", "--head classification: y must be"),
            ({"y": None}, None, "has no array y"),
            ({"y": np.zeros(ROWS)}, "next_step", "leave y out"),
            ({"mask": MASK[:, :3]}, None, r"mask must be bool \(40, 5\)"),
            ({"mask": MASK.astype(int)}, None, "mask must be bool"),
            ({"mask": np.zeros_like(MASK)}, None, "the mask leaves no step"),
            ({"split": np.zeros(ROWS, int)}, None, "no sequence is left for the valid split"),
            ({"split": np.arange(ROWS)}, None, "split must be integers"),
            ({"label": np.zeros(3)}, None, "array 'label' is unknown"),
            ({"x": X[:3], "y": np.arange(3)}, None, "no sequence is left"),
            (
                {"y": np.arange(ROWS) + 2**32},
                None,
                "y has the integer 4294967335.*1,649,267,457,024",
            ),
            ({"y": np.arange(ROWS, dtype="uint64") * 10**9}, None, "y has the integer.* classes"),
            ({"x": SYMBOLS + 2**31}, None, "x has the integer 2147483654.*symbols.*bytes"),
            ({"x": X * 1e20}, None, r"x\[0, 0, 0\] is .* that are no numbers up to 1e\+18"),
            ({}, "guess", "--head must be one of"),
        ],
    )
    def test_bad_arrays(self, tmp_path, arrays, head, message):
        arrays = {"y": np.arange(ROWS) % 2, **arrays}
        arrays = {name: value for name, value in arrays.items() if value is not None}
        with pytest.raises(data.DataError, match=message) as error:
            load(tmp_path, head, **arrays)
        assert "\n" not in str(error.value) and str(error.value).startswith("--data '")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("none.npz", "cannot be read"),
            ("text.npz", "is no .npz file"),
            ("one.npy", "is a single array"),
            ("objects.npz", "is no .npz file of plain arrays"),
        ],
    )
    def test_bad_files(self, tmp_path, name, message):
        (tmp_path / "text.npz").write_text("x")
        np.save(tmp_path / "one.npy", X)
        np.savez(tmp_path / "objects.npz", x=np.array([None, {}]), y=np.arange(2))
        with pytest.raises(data.DataError, match=message):
            data.from_file(str(tmp_path / name), head=None, seed=0)


def test_a_header_is_not_believed(tmp_path):
    """Petabytes that are not there are refused before anything of that size is asked for."""
    import io
    import zipfile

    path = tmp_path / "claims.npz"
    with zipfile.ZipFile(path, "w") as file:
        header = io.BytesIO()
        claim = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**5, 10**4)}
        np.lib.format.write_array_header_1_0(header, claim)
        file.writestr("x.npy", header.getvalue() + bytes(80))
    with pytest.raises(data.DataError, match="would be 8,000,000,000,000,000 bytes.* are 80"):
        data.from_file(str(path), head=None, seed=0)


class TestStandardised:
    """Statistics are of the real steps to train on; what is skipped may be anything."""

    def test_statistics(self, tmp_path):
        x = np.where(MASK[..., None], X * [5, 1e-9] + [1000, 3e-9], np.nan)
        split = np.arange(ROWS) % 3
        x[split > 0] *= 7
        found = load(tmp_path, x=x, y=np.where(MASK[..., None], X, 1e9), mask=MASK, split=split)
        known = found.statistics()
        for name, array in (("input_statistics", x), ("target_statistics", X)):
            real = array[split == 0][MASK[split == 0]]
            np.testing.assert_allclose(known[name], [real.mean(0), real.std(0)], rtol=1e-5)
        assert statistics_of(np.full((9, 1), 0.1)) == ((pytest.approx(0.1),), (1.0,))
        assert set(load(tmp_path, y=np.arange(ROWS) % 2).statistics()) == {"input_statistics"}
        assert load(tmp_path, x=SYMBOLS, y=SYMBOLS).statistics() == {}

    def test_baselines_of_numbers(self, tmp_path):
        """A line that rises by its second feature: known from two steps, and from two features."""
        random = np.random.default_rng(0)
        slope = random.normal(size=(ROWS, 1))
        line = 50 + slope * np.arange(5) + 20 * random.normal(size=(ROWS, 1))
        x = np.stack([line, np.broadcast_to(slope, line.shape)], -1)
        split = np.arange(ROWS) % 3
        y = line[:, -1:] + slope
        found = load(tmp_path, x=x, y=y, split=split).baselines
        test = y[split == 2]
        assert found.test == {
            "constant": pytest.approx(np.mean((test - y[split == 0].mean()) ** 2), rel=1e-4),
            "last value": pytest.approx(np.mean(slope[split == 2] ** 2), rel=1e-3),
            "linear": pytest.approx(0, abs=1e-4),
        }
        valid = np.abs(slope[split == 1]).mean()
        assert found.of("val_mean_absolute_error")["last value"] == pytest.approx(valid, rel=1e-3)
        assert found.of("mean_absolute_error") == {}

        # The next step of the sequence itself, padded before and after.
        mask = np.arange(5) < 4
        mask = np.where(np.arange(ROWS)[:, None] % 2, mask, mask[::-1])
        moved = np.where(mask[..., None], x, np.nan)
        found = load(tmp_path, "next_step", x=moved, mask=mask, split=split).baselines
        expected = np.mean(slope[split == 2] ** 2) / 2  # the other feature stays as it is
        assert found.test["last value"] == pytest.approx(expected, rel=1e-3)
        assert found.test["linear"] == pytest.approx(0, abs=1e-4)

        # At every step, what was the last but one.
        y = np.concatenate([np.zeros((ROWS, 1)), line[:, :-1]], 1)[..., None]
        mask = np.broadcast_to(np.arange(5) > 0, MASK.shape)
        found = load(tmp_path, x=x[..., :1], y=y, mask=mask, split=split).baselines.test
        assert found["last value"] == pytest.approx(np.mean(slope[split == 2] ** 2), rel=1e-3)
        # Only before the first of four real steps nothing is known.
        assert found["linear"] < 1e-2 * found["constant"]

    def test_baselines_of_symbols(self, tmp_path):
        """Symbols that go round: known from the one before, and a uniform guess without."""
        x = (np.arange(5) + np.arange(ROWS)[:, None]) % 4
        found = load(tmp_path, "next_step", x=x, mask=MASK | (np.arange(5) < 2)).baselines
        assert found.test["memoryless"] == pytest.approx(np.log(4), abs=0.05)
        assert found.test["order-1"] < 0.2 and set(found.of("val_loss")) == set(found.test)
        found = load(tmp_path, y=np.arange(ROWS) % 4 // 3).baselines
        assert found.of("val_accuracy")["commonest class"] == pytest.approx(0.75, abs=0.2)
        assert found.of("val_loss")["class frequencies"] == pytest.approx(0.56, abs=0.3)

    def test_what_a_random_split_or_float32_would_spoil_is_said(self, tmp_path):
        series = np.random.default_rng(0).normal(size=ROWS + 5)
        windows = np.lib.stride_tricks.sliding_window_view(series, 5)[:ROWS, :, None]
        assert "windows that overlap" in load(tmp_path, x=windows, y=series[5:]).about
        split = np.repeat([0, 1, 2], [30, 5, 5])
        assert "overlap" not in load(tmp_path, x=windows, y=series[5:], split=split).about
        assert "overlap" not in load(tmp_path, y=series[5:]).about
        seconds = 1.7e9 + np.arange(ROWS * 5).reshape(ROWS, 5, 1) * 60
        assert "float32 keeps less" in load(tmp_path, x=seconds / 60, y=series[5:]).about
        assert "float32 keeps less" not in load(tmp_path, x=windows, y=series[5:]).about


def test_tasks_as_in_compare():
    adding = data.from_task("adding", text=None, length=12, steps=50)
    assert adding.train.x.shape[1:] == (12, 2) and adding.max_timesteps == 12
    assert (
        adding.baselines.test["constant"]
        == tasks.load("adding", length=12).floors["constant"]["test"]
    )
    assert adding.score({"loss": 0.25, "mean_absolute_error": 9.0}) == 0.25


def test_a_text_is_cut_without_gaps(tmp_path):
    words = np.random.default_rng(0).choice(list("abcd "), 21_000)
    (tmp_path / "text.txt").write_text("".join(words))
    found = data.from_task("text", text=tmp_path / "text.txt", length=None, steps=20)
    np.testing.assert_array_equal(found.train.x.ravel()[1:], found.train.y.ravel()[:-1])
    assert found.symbols == 6 and found.score({"loss": np.log(8.0)}) == pytest.approx(3)


SPACE = {"variants": ["LSTM", "Elman"], "layers": [1, 2], "units": [2, 3], "forget_bias": [0, 1]}


def grid(folder, max_trials=None, seed=0):
    hypermodel = RecurrentHyperModel((4, 2), "regression", learning_rate=0.01, **SPACE)
    return make_tuner("grid", hypermodel, directory=folder, max_trials=max_trials, seed=seed)


def run_through(oracle, score=lambda trial: 1.0, limit=99):
    found = []
    while len(found) < limit:
        trial = oracle.create_trial("tuner0")
        if trial.status == "STOPPED":
            break
        oracle.update_trial(trial.trial_id, {"val_loss": score(trial)})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        found.append(trial.hyperparameters.values)
    return found


class TestSearches:
    def test_a_grid_has_every_setting_once_also_when_it_resumes(self, tmp_path):
        settings = run_through(grid(tmp_path).oracle, limit=5)
        assert len(settings) == 5
        settings += run_through(grid(tmp_path).oracle)
        # 2 layers x 2 units for both, times 2 forget biases for the one that has them.
        assert len(settings) == 12 == len({str(sorted(s.items())) for s in settings})
        assert all(("forget_bias" in s) == (s["variant"] == "LSTM") for s in settings)

    def test_part_of_a_grid_is_drawn_from_all_of_it(self, tmp_path):
        drawn = [run_through(grid(tmp_path / str(k), 6, seed=k).oracle) for k in (0, 1)]
        assert [len(d) for d in drawn] == [6] * 2
        assert drawn[0] != drawn[1]
        assert {s["variant"] for s in drawn[0]} == {"LSTM", "Elman"}
        again = grid(tmp_path / "2nd", 6).oracle
        assert run_through(again) == drawn[0]

    def test_seed_0_is_a_seed(self, tmp_path):
        hypermodel = RecurrentHyperModel((4, 2), "regression")
        tuners = [
            make_tuner("random", hypermodel, directory=tmp_path / name, seed=seed)
            for name, seed in (("a", 0), ("b", 0), ("c", 1))
        ]
        first, same, other = (run_through(t.oracle, limit=2) for t in tuners)
        assert first == same != other

    def test_an_objective_that_is_not_reported_is_said(self, tmp_path):
        hypermodel = RecurrentHyperModel((4, 2), "classification", 3)
        options = {"directory": tmp_path, "max_trials": 1}
        with pytest.raises(ValueError, match="Did you mean 'val_accuracy'"):
            make_tuner("random", hypermodel, objective="val_acuracy", **options)
        assert not list(tmp_path.iterdir())
        tuner = make_tuner("random", hypermodel, objective="val_accuracy", **options)
        assert tuner.oracle.objective.direction == "max"

    def test_a_folder_keeps_to_its_search(self, tmp_path, capsys):
        x, y = np.zeros((8, 4, 2), "float32"), np.zeros((8, 1), "float32")

        def tuner(epochs=1, **space):
            space = {"variants": ["LSTM"], "layers": 1, "units": [2, 3], **space}
            hypermodel = RecurrentHyperModel((4, 2), "regression", jit_compile=False, **space)
            options = {"directory": tmp_path, "max_trials": 1, "epochs": epochs}
            return make_tuner("random", hypermodel, **options)

        with pytest.raises(ValueError, match="'val_loss' needs `validation_data"):
            tuner().search(x, y)
        with pytest.raises(ValueError, match="verbose=3"):
            tuner().search(x, y, validation_data=(x, y), verbose=3)
        capsys.readouterr()
        tuner().search(x, y, validation_data=(x, y))
        (said,) = capsys.readouterr().out.splitlines()
        assert re.match(r"trial 0: val_loss [\d.e-]+, best so far .* \(.*units \d", said)
        tuner().search(x, y, validation_data=(x, y))
        assert not capsys.readouterr().out  # nothing was left to do
        with pytest.raises(ValueError, match="holds another search: another data"):
            tuner().search(x + 1, y, validation_data=(x, y))
        for other in ({"variants": ["Elman"]}, {"units": [2, 4]}):
            with pytest.raises(ValueError, match="holds another search: another space"):
                tuner(**other)
        with pytest.raises(ValueError, match="epochs 1, not 2"):
            tuner(2)

    def test_no_score_is_no_best(self, tmp_path):
        tuner = grid(tmp_path, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # Keras Tuner's, of NumPy
            run_through(tuner.oracle, lambda trial: float("nan"))
        assert [t.status for t in tuner.oracle.trials.values()] == ["FAILED"] * 2
        with pytest.raises(SearchError, match="No trial completed, 2 failed.*is no number"):
            tuner.get_best_hyperparameters()

    def test_bayesian_goes_to_where_scores_are_good(self, tmp_path):
        pytest.importorskip("sklearn")

        def tuner():
            hypermodel = RecurrentHyperModel(
                (4, 2),
                "regression",
                variants=["Elman"],
                layers=1,
                units=2,
                learning_rate=(0.1, 0.9),
            )
            return make_tuner("bayesian", hypermodel, directory=tmp_path, max_trials=9).oracle

        def score(trial):
            return (trial.hyperparameters.values["learning_rate"] - 0.6) ** 2

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, of bounds
            found = run_through(tuner(), score, limit=4) + run_through(tuner(), score)
        assert len(found) == 9
        assert min(abs(v["learning_rate"] - 0.6) for v in found[3:]) < 0.05

    def test_equal_scores_and_directions(self, tmp_path):
        tuner = grid(tmp_path, 4)
        run_through(tuner.oracle, lambda trial: {"0": 2.0, "1": 1.0}.get(trial.trial_id, 1.0))
        assert [t.trial_id for t in tuner.oracle.completed] == ["1", "2", "3", "0"]

    def test_a_trial_that_runs_again_does_not_average_two_runs(self, tmp_path):
        oracle = grid(tmp_path, 2).oracle
        trial = oracle.create_trial("tuner0")
        oracle.update_trial(trial.trial_id, {"val_loss": 100.0})
        run_through(oracle := grid(tmp_path, 2).oracle)
        assert oracle.trials[trial.trial_id].score == 1.0
        assert oracle.deaths == {trial.trial_id: 1}

    def test_the_plan_of_hyperband_is_keras_tuners(self, tmp_path):
        hypermodel = RecurrentHyperModel((4, 2), "regression")
        tuner = make_tuner("hyperband", hypermodel, directory=tmp_path, epochs=5, max_trials=None)
        found = run_through(tuner.oracle)
        epochs = [v["tuner/epochs"] - v["tuner/initial_epoch"] for v in found]
        assert len(found) == sum(n for n, _ in hyperband_plan(5, 3))
        assert sum(epochs) == sum(n * e for n, e in hyperband_plan(5, 3))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"algorithm": "genetic"}, "`algorithm` must be one of"),
            ({"max_trials": 0}, "`max_trials` must be a positive integer"),
            ({"max_trials": None}, "`max_trials` must be given"),
            ({"epochs": 0}, "`epochs`"),
            ({"executions_per_trial": 0}, "`executions_per_trial`"),
            ({"seed": -1}, "`seed` must be"),
            ({"seed": 2**70}, "`seed` must be None or a whole number from 0"),
            ({"epochs": 2**70}, "`epochs` must be at most 2,147,483,647"),
            ({"project_name": "../../x"}, "`project_name` must be the name of a folder"),
            ({"project_name": ".."}, "`project_name` must be the name of a folder"),
            ({"project_name": ""}, "`project_name` must be a path"),
            ({"directory": "a\0b"}, "`directory` must be a path"),
            ({"directory": None}, "`directory` must be a path"),
            ({"hypermodel": None}, "`hypermodel` must be"),
            ({"objective": None}, "`objective` must be"),
            ({"distribution_strategy": "two"}, "`distribution_strategy` must be"),
        ],
    )
    def test_bad_arguments(self, tmp_path, arguments, message):
        usual = {"algorithm": "random", "hypermodel": lambda hp: None, "directory": tmp_path}
        with pytest.raises(ValueError, match=message):
            make_tuner(**{**usual, **arguments})
        assert not list(tmp_path.iterdir())

    def test_labels_that_no_trial_could_learn(self, tmp_path):
        x, y = np.zeros((8, 4, 2), "float32"), np.arange(8) % 3
        hypermodel = RecurrentHyperModel((4, 2), "classification", 3, variants=["LSTM"])
        tuner = make_tuner("random", hypermodel, directory=tmp_path, max_trials=1)
        for train, valid in ((y + 1, y), (y, y - 1)):
            with pytest.raises(ValueError, match="`y` must hold classes from 0 to 2.*-?1 to"):
                tuner.search(x, train, validation_data=(x, valid))
        text = RecurrentHyperModel((4,), "next_step", symbols=5, variants=["LSTM"])
        with pytest.raises(ValueError, match="`x` must hold symbols from 0 to 4.*0 to 5"):
            text.check_data({"sequence": np.arange(6)[None]}, np.zeros((1, 6), int))


class TestPicture:
    def test_importance_finds_what_matters(self):
        random = np.random.default_rng(0)
        scores = random.normal(size=40)
        assert picture.importance(list(scores), list(scores)) > 0.8
        assert picture.importance([s > 0 for s in scores], list(scores)) > 0.6
        chance = [picture.importance(list(random.normal(size=40)), list(scores)) for _ in range(50)]
        assert np.mean(chance) < 0.06
        assert picture.importance([1.0, 2.0], [1.0, 2.0]) == 0.0
        assert picture.importance([3] * 9, list(scores[:9])) == 0.0

    def test_panels(self, tmp_path, monkeypatch):
        from matplotlib.figure import Figure

        figures = []
        monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: figures.append(figure))
        random = np.random.default_rng(0)
        records = []
        for k in range(30):
            settings = {"variant": ["LSTM", "Elman"][k % 2], "units": 8 * (1 + k % 5)}
            if k % 2 == 0:
                settings["forget_bias_rule"] = ["number", "chrono"][k % 4 // 2]
            if settings.get("forget_bias_rule") == "number":
                settings["forget_bias"] = float(random.uniform(-1, 5))
            records.append({"score": settings["units"] + random.normal(), "settings": settings})
        picture.draw(records, "val_loss", "min", tmp_path / "x.png", "A")
        labels = [axes.get_xlabel() for axes in figures[0].axes]
        assert labels[0].startswith("forget bias") and labels[1].startswith("units (accounts for")
        ticks = [t.get_text() for t in figures[0].axes[0].get_xticklabels()]
        assert {"chrono", "none"} <= set(ticks) and "number" not in ticks
        shown = sum(len(points.get_offsets()) for points in figures[0].axes[0].collections)
        assert shown == 30

        # All that was searched, each variant with a look of its own, and what no memory reaches.
        names = ["units", "layers", "dropout", "batch_size", "learning_rate", "clipnorm"]
        records = [
            {"score": 1 + k, "settings": {"variant": v, **dict.fromkeys(names, k % 4)}}
            for k, v in enumerate(list_variants())
        ]
        picture.draw(
            records, "val_loss", "min", tmp_path / "x.png", "A", {"last value": 3.0}, "Never: B"
        )
        drawn = [axes for axes in figures[1].axes if axes.get_xlabel()]
        assert len(drawn) == 7 and figures[1].get_supxlabel() == "Never: B"
        looks = {
            (tuple(c.get_facecolor()[0]), len(c.get_paths()[0]), str(c.get_paths()[0].vertices))
            for c in drawn[0].collections
        }
        assert len(looks) == len(records)
        for axes in drawn:
            assert 3.0 in [line.get_ydata()[0] for line in axes.lines]


REPLICAS = """
import sys
import numpy as np
from tune_helpers import TINY, save_data
from keras_lstm_variants.cli import main
save_data("data.npz")
code = main(["tune", "--data=data.npz", *TINY, "--variants=LSTM", "--tuner=grid",
             "--replicas=2", "--directory=out"])
import tensorflow as tf
print("code", code, "devices", len(tf.config.list_logical_devices("CPU")))
"""


def test_a_trial_on_two_devices(tmp_path, monkeypatch):
    """`tf.distribute` wants a process of its own."""
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
    assert re.search("code 0 devices 2", run_script(REPLICAS))
    assert (tmp_path / "out/best.keras").exists()


def test_rows_of_the_helper_are_learnable(tmp_path):
    found = data.from_file(str(save_data(tmp_path / "a.npz")), head=None, seed=0)
    assert found.head == "classification" and found.baselines.test["commonest class"] > 0
