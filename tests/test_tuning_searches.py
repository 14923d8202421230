"""How a search chooses its settings, resumes, and keeps to its folder; several devices."""

import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_saving import run_script

from keras_lstm_variants.tuning import RecurrentHyperModel, make_tuner
from keras_lstm_variants.tuning.data import Split
from keras_lstm_variants.tuning.oracles import hyperband_plan
from keras_lstm_variants.tuning.tuner import SearchError

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

    @pytest.mark.slow
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

    @pytest.mark.slow
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
        tuner.oracle.objective.direction = "max"
        assert [t.trial_id for t in tuner.oracle.completed] == ["0", "1", "2", "3"]

    def test_a_trial_that_runs_again_does_not_average_two_runs(self, tmp_path):
        oracle = grid(tmp_path, 2).oracle
        trial = oracle.create_trial("tuner0")
        oracle.update_trial(trial.trial_id, {"val_loss": 100.0})
        run_through(oracle := grid(tmp_path, 2).oracle)
        assert oracle.trials[trial.trial_id].score == 1.0
        assert oracle.deaths == {trial.trial_id: 1}

    def test_a_trial_that_was_taken_for_lost_ends_once(self, tmp_path):
        oracle = grid(tmp_path, 2).oracle
        trial = oracle.create_trial("slow")
        of_worker = type(trial).from_state(trial.get_state())
        oracle.lose("slow")
        again = oracle.create_trial("quick")
        assert again.trial_id == trial.trial_id
        oracle.update_trial(again.trial_id, {"val_loss": 1.0})
        again.status = of_worker.status = "COMPLETED"
        oracle.end_trial(again)
        oracle.end_trial(of_worker)
        assert oracle.end_order == [trial.trial_id]

    def test_the_best_epoch_counts_those_before_a_trial_went_on(self, tmp_path):
        from keras_lstm_variants.tuning import results

        oracle = grid(tmp_path).oracle
        run_through(oracle, limit=1)
        (trial,) = oracle.trials.values()
        trial.best_step = 1
        trial.hyperparameters.values |= {"tuner/initial_epoch": 3, "tuner/epochs": 9}
        results.save_trials(tmp_path, oracle, 1)
        head, row = (tmp_path / results.TRIALS).read_text().splitlines()
        found = dict(zip(head.split(","), row.split(","), strict=True))
        assert (found["best_epoch"], found["epochs"]) == ("5", "9")

    def test_what_is_trained_again_has_the_weights_of_its_best_epoch(self, tmp_path, monkeypatch):
        from keras_lstm_variants.tuning import results

        def fit(hp, model, epochs, callbacks, **_):
            (keep,) = callbacks
            keep.set_model(model)
            for epoch, loss in enumerate((2.0, 1.0, 3.0)):
                model.set_weights([np.full(w.shape, loss) for w in model.get_weights()])
                keep.on_epoch_end(epoch, {"val_loss": loss})
            return SimpleNamespace(epoch=range(epochs))

        tuner, saved = grid(tmp_path, 1), []
        run_through(tuner.oracle)
        test = Split(np.ones((3, 4, 2), "float32"), np.ones((3, 1), "float32"))
        data = SimpleNamespace(train=test, valid=test, test=test, metric="loss", score=len)
        search = SimpleNamespace(hypermodel=SimpleNamespace(fit=fit), data=data, epochs=3)
        monkeypatch.setattr(results, "save_model", lambda model, _: saved.extend(model.weights))
        found = results.retrain(search, tuner, tuner.oracle.completed[0], tmp_path)
        assert all(np.all(weight.numpy() == 1) for weight in saved) and saved
        assert (found["epochs"], found["best_epoch"], found["val_loss"]) == (3, 2, 1.0)

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


REPLICAS = """
import sys
import numpy as np
from tune_helpers import TINY, save_data
from keras_lstm_variants.cli import main
import tensorflow as tf
strategies, own = [], tf.distribute.MirroredStrategy
tf.distribute.MirroredStrategy = lambda *args: strategies.append(own(*args)) or strategies[-1]
save_data("data.npz")
code = main(["tune", "--data=data.npz", *TINY, "--variants=LSTM", "--tuner=grid",
             "--replicas=2", "--directory=out"])
print("code", code, "devices", len(tf.config.list_logical_devices("CPU")))
print("replicas", [strategy.num_replicas_in_sync for strategy in strategies])
"""


@pytest.mark.processes
@pytest.mark.slow
def test_a_trial_on_two_devices(tmp_path, monkeypatch):
    """`tf.distribute` wants a process of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
    assert re.search(r"code 0 devices 2\nreplicas \[2\]", run_script(REPLICAS))
    assert (tmp_path / "out/best.keras").exists()
