"""`klv tune` on one machine, from its arguments to the best model."""

import json
import re
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tune_helpers import TINY, oracle_state, save_data, start, trials_of, trouble, wait_for

from keras_lstm_variants.cli import main

__all__ = ["trouble"]

EAGERLY = pytest.mark.usefixtures("trained_eagerly")


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_data("data.npz")
    return "--data=data.npz"


def tune(*arguments):
    return main(["tune", *map(str, arguments)])


@pytest.mark.slow
def test_a_search_from_begin_to_end(data, tmp_path, capsys):
    """Two settings, their results, the same command again, and one trial more."""
    command = [data, *TINY, "--variants=LSTM,Elman", "--tuner=random", "--directory=out"]
    command += ["--batch-size=8:16:8", "--tensorboard=curves"]
    assert tune(*command, "--max-trials=2") == 0
    shown = capsys.readouterr()
    assert "over batch_size, variant" in shown.out and "Training the best" in shown.out
    assert re.search(r"\[1/2\] trial 0: val_loss \d.*about .* left", shown.err)
    assert re.search(r"\[2/2\] trial 1: .*best so far.*batch_size", shown.err)
    rows = trials_of("out")
    assert [r["status"] for r in rows] == ["COMPLETED"] * 2
    assert {r["forget_bias"] for r in rows} == {
        "1.0" if "LSTM" in r["variant"] else "" for r in rows
    }
    best = json.loads((tmp_path / "out/best.json").read_text())
    scores = [float(r["score"]) for r in rows]
    assert best["score"] == min(scores) and int(best["trial"]) == int(np.argmin(scores))
    assert best["settings"]["variant"] == rows[np.argmin(scores)]["variant"]
    # The same seed, the same training.
    assert best["trained_again"]["val_loss"] == pytest.approx(best["score"], rel=1e-4)
    assert (tmp_path / "out/search.png").read_bytes().startswith(b"\x89PNG")

    model = keras.models.load_model("out/best.keras")
    with np.load("data.npz") as arrays:
        x, y = arrays["x"], arrays["y"]
    rows_of_test = np.random.default_rng(0).permutation(40)[34:]
    found = model.predict(x[rows_of_test], verbose=0)
    error = 100 * np.mean(found.argmax(-1) != y[rows_of_test])
    assert best["trained_again"]["test"]["error %"] == pytest.approx(error, abs=1e-3)
    served = tf.saved_model.load("out/best_model")
    np.testing.assert_allclose(
        served.serve(x[:3, :2]), model.predict(x[:3, :2], verbose=0), atol=1e-5
    )

    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    log = tmp_path / "curves"
    curve = event_accumulator.EventAccumulator(str(log / "0/execution0/validation"))
    curve.Reload()
    assert {"epoch_loss", "epoch_accuracy"} <= set(curve.Tags()["tensors"])
    for folder, content in ((log, "experiment"), (log / "1/execution0", "session_start_info")):
        events = event_accumulator.EventAccumulator(str(folder))
        events.Reload()
        summaries = events.PluginTagToContent("hparams").values()
        kinds = [plugin_data_pb2.HParamsPluginData.FromString(s) for s in summaries]
        assert content in {kind.WhichOneof("data") for kind in kinds}

    stamp = (tmp_path / "out/best.keras").stat().st_mtime_ns
    assert tune(*command, "--max-trials=2") == 0
    shown = capsys.readouterr().out
    assert "This search is finished: 2 trial(s) ended" in shown and "Best: trial" in shown
    assert (tmp_path / "out/best.keras").stat().st_mtime_ns == stamp

    assert tune(*command, "--max-trials=3") == 0
    assert "2 trial(s) ended in 'out' already" in capsys.readouterr().out
    assert [r["score"] for r in trials_of("out")][:2] == [r["score"] for r in rows]
    assert json.loads((tmp_path / "out/best.json").read_text())["trials"] == 3

    assert tune(*command, "--max-trials=3", "--units=3") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "holds another search (units '2' there, '3' here)" in said


@EAGERLY
@pytest.mark.slow
def test_failed_trials_are_recorded_and_the_search_goes_on(data, trouble, capsys):
    names = "Raises,OutOfMemory,NotANumber,LSTM"
    command = [data, *TINY, "--import=tune_trouble", "--tuner=grid", "--directory=out"]
    assert tune(*command, f"--variants={names}", "--executions-per-trial=2") == 0
    shown = capsys.readouterr()
    trained = json.loads(Path("out/best.json").read_text())["trained_again"]
    # The mean of two trainings, the first of which is the one that is done again.
    assert trained["val_loss"] != pytest.approx(float(trials_of("out")[-1]["score"]), rel=1e-6)
    rows = {r["variant"]: r for r in trials_of("out")}
    assert rows["LSTM"]["status"] == "COMPLETED"
    said = {
        "Raises": "RuntimeError: .*what must not be",
        "OutOfMemory": r"ResourceExhaustedError: .*OOM when allocating \[9,9\]",
        "NotANumber": "diverged: .*loss.* no longer a number in epoch 1",
    }
    for name, pattern in said.items():
        assert rows[name]["status"] == "FAILED" and rows[name]["score"] == ""
        assert re.search(pattern, rows[name]["error"]), rows[name]["error"]
        assert re.search(f"FAILED: .*{pattern}.*variant {name}", shown.err)
    assert "3 of 4 trials failed" in shown.out
    assert tune(*command[:-1], "--directory=none", "--variants=NotANumber,Raises") == 1
    shown = capsys.readouterr()
    last = shown.err.strip().splitlines()[-1]
    assert re.search("No trial completed, 2 failed. The first one: diverged", last)
    assert "Best" not in shown.out
    assert {p.name for p in (Path.cwd() / "none").iterdir()} >= {"trials.csv", "search.json"}
    assert not (Path.cwd() / "none/best.json").exists()


@pytest.mark.slow
@pytest.mark.processes
def test_a_stopped_search_continues(data, trouble, tmp_path, capsys):
    """Killed in mid-trial, then stopped by Ctrl-C in the same trial, which has died once."""
    command = [data, *TINY, "--import=tune_trouble", "--variants=Slow", "--directory=out"]
    command += ["--tuner=grid", "--batch-size=8,16", "--max-trials=2"]
    trial = tmp_path / "out/trials/trial_0/trial.json"

    def in_trial_1(deaths):
        state = oracle_state("out")
        running = state["ongoing_trials"].get("tuner0") == "1"
        return running and state["accounting"]["deaths"] == deaths

    for how, deaths in ((signal.SIGKILL, {}), (signal.SIGINT, {"1": 1})):
        process = start(*command)
        wait_for(lambda deaths=deaths: in_trial_1(deaths), process)
        process.send_signal(how)
        _, err = process.communicate(timeout=60)
        if how == signal.SIGKILL:
            first = trial.read_bytes()
            # As if it had been killed between the files of a trial that was to begin.
            (tmp_path / "out/trials/trial_9").mkdir()
            other = json.loads(first) | {"trial_id": "9", "status": "RUNNING"}
            (tmp_path / "out/trials/trial_9/trial.json").write_text(json.dumps(other))
    assert process.returncode == 130, err
    assert "1 trial(s) ended and are kept" in err and "Traceback" not in err
    assert tune(*command) == 0
    assert "1 trial(s) ended in 'out' already" in capsys.readouterr().out
    assert trial.read_bytes() == first
    assert [(r["trial"], r["status"]) for r in trials_of("out")] == [
        ("0", "COMPLETED"),
        ("1", "COMPLETED"),
    ]
    assert oracle_state("out")["accounting"]["deaths"] == {"1": 1}


@EAGERLY
@pytest.mark.slow
def test_hyperband_goes_on_with_the_best(data):
    command = [data, *TINY, "--variants=Elman", "--learning-rate=0.001:0.1", "--epochs=3"]
    command += ["--batch-size=8:16", "--tuner=hyperband", "--max-trials=4", "--directory=out"]
    assert tune(*command) == 0
    rows = trials_of("out")
    assert [r["status"] for r in rows] == ["COMPLETED"] * 4
    best_of_three = min(rows[:3], key=lambda r: float(r["score"]))
    assert rows[3]["learning_rate"] == best_of_three["learning_rate"]
    # It began after epoch 1 of that one.
    assert int(rows[3]["best_epoch"]) > 1 and rows[3]["goes_on_from"] == best_of_three["trial"]
    assert [r["epochs"] for r in rows] == ["1", "1", "1", "3"]
    best = json.loads(Path("out/best.json").read_text())
    assert not [name for name in best["settings"] if name.startswith("tuner/")]
    assert best["trained_again"]["epochs"] == 3


@EAGERLY
@pytest.mark.slow
def test_what_goes_on_keeps_what_the_optimizer_gathered(tmp_path):
    """Steps, momenta and all: one training of three epochs, cut after the second."""
    from keras_lstm_variants.tuning import RecurrentHyperModel, make_tuner

    hypermodel = RecurrentHyperModel(
        (4, 2), "regression", variants=["Elman"], layers=1, units=2, learning_rate=(1e-3, 1e-2)
    )
    tuner = make_tuner("hyperband", hypermodel, directory=tmp_path, epochs=3)
    seen = []
    monkey = tuner.on_epoch_end
    tuner.on_epoch_end = lambda trial, model, epoch, logs=None: (
        seen.append([np.array(v) for v in model.optimizer.variables]),
        monkey(trial, model, epoch, logs),
    )
    x = np.random.default_rng(0).normal(size=(64, 4, 2)).astype("float32")
    tuner.search(x, x[:, -1, :1], validation_data=(x, x[:, -1, :1]), verbose=0)
    promoted = next(
        t for t in tuner.oracle.trials.values() if "tuner/trial_id" in t.hyperparameters.values
    )
    model = tuner._build_hypermodel(promoted.hyperparameters)
    before = seen[int(promoted.hyperparameters.values["tuner/trial_id"])]
    for kept, known in zip(model.optimizer.variables, before, strict=True):
        np.testing.assert_array_equal(kept, known)
    assert int(model.optimizer.iterations) == 2 and np.abs(before[-1]).max() > 0


@EAGERLY
@pytest.mark.slow
def test_a_folder_that_fails_is_no_trials_fault(data, capsys, monkeypatch):
    """A full disk, a folder that is gone, files that are cut: a line each, and on it goes."""
    import shutil

    from keras_tuner.src.engine.tuner_utils import SaveBestEpoch

    command = [data, *TINY, "--variants=Elman", "--directory=out", "--max-trials=2"]
    command += ["--batch-size=8:16:8", "--tuner=grid"]

    def full(*_):
        raise OSError("Can't write data (errno = 28, error message = 'No space left on device')")

    def gone(*_):
        shutil.rmtree("out")
        Path("out/trials/trial_0/checkpoint.weights.h5").write_bytes(b"")

    for failure, said in ((gone, "No such file"), (full, "No space left on device")):
        with monkeypatch.context() as patched:
            patched.setattr(SaveBestEpoch, "_save_model", failure)
            assert tune(*command) == 1
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith("klv tune: cannot write to --directory 'out': ") and said in last
    assert tune(*command) == 0
    assert [r["status"] for r in trials_of("out")] == ["COMPLETED"] * 2
    mode = Path("out/trials.csv").stat().st_mode
    assert mode == Path("data.npz").stat().st_mode == Path("out/best.keras").stat().st_mode

    cut = Path("out/trials/trial_0/trial.json")
    cut.write_bytes(cut.read_bytes()[:40])
    capsys.readouterr()
    assert tune(*command) == 0
    assert [(r["status"], r["error"]) for r in trials_of("out")] == [
        ("FAILED", "its file was cut"),
        ("COMPLETED", ""),
    ]
    for name in ("trials/oracle.json", "trials/search.json", "search.json"):
        path = Path("out", name)
        whole = path.read_bytes()
        path.write_bytes(whole[:40])
        capsys.readouterr()
        assert tune(*command) == 2
        shown = capsys.readouterr().err
        assert shown.count("\n") == 1 and path.name in shown and "give another" in shown
        path.write_bytes(whole)


@EAGERLY
@pytest.mark.slow
def test_an_end_by_the_clock(data, capsys, monkeypatch):
    """In the second trial the time is up: the first one is the best, and the next call goes on."""
    from keras_lstm_variants.tuning.oracles import Accounting

    command = [data, *TINY, "--variants=Elman", "--directory=out", "--batch-size=4:40"]
    command += ["--max-trials=2", "--max-time=90m"]
    up = property(lambda oracle: bool(oracle.ended))
    with monkeypatch.context() as patched:
        patched.setattr(Accounting, "time_is_up", up)
        assert tune(*command) == 0
    shown = capsys.readouterr().out
    assert "The time is up (--max-time 90m): 1 trial(s) ended" in shown and "Best: trial 0" in shown
    assert [r["status"] for r in trials_of("out")] == ["COMPLETED"]
    assert tune(*command) == 0
    assert [r["status"] for r in trials_of("out")] == ["COMPLETED"] * 2
    shown = capsys.readouterr()
    assert "The time is up" not in shown.out and "[2/2] trial 1" in shown.err
    # Fewer than there are.
    assert tune(*command[:-2], "--max-trials=1", "--retry") == 0
    shown = capsys.readouterr().out
    assert "finished: 2 trial(s) ended" in shown and "0 failed trial(s) run again" in shown


@EAGERLY
@pytest.mark.slow
def test_raw_numbers_and_baselines_from_begin_to_end(tmp_path, monkeypatch, capsys):
    """A series far from 0: scores in its units, and a last value that two epochs do not beat."""
    monkeypatch.chdir(tmp_path)
    series = 1000 + np.cumsum(np.random.default_rng(0).normal(size=64))
    x = np.lib.stride_tricks.sliding_window_view(series, 4)[:-1, :, None]
    y, split = series[4:], np.repeat([0, 1, 2], [40, 10, 10])
    np.savez("data.npz", x=x, y=y, split=split)
    command = ["--data=data.npz", *TINY, "--variants=Elman", "--max-trials=1", "--directory=out"]
    assert tune(*command) == 0
    shown = capsys.readouterr()
    best = json.loads(Path("out/best.json").read_text())
    model = keras.models.load_model("out/best.keras")
    found = model.predict(x, verbose=0)[:, 0]
    error = [np.mean((found - y)[split == k] ** 2) for k in range(3)]
    assert best["score"] == pytest.approx(error[1], rel=1e-3)
    assert best["objective"]["value"] == pytest.approx(error[1] / y[split == 0].var(), rel=1e-3)
    assert best["trained_again"]["test"]["mean squared error"] == pytest.approx(error[2], rel=1e-3)
    last = np.mean((x[:, -1, 0] - y)[split == 1] ** 2)
    assert best["baselines"]["last value"] == pytest.approx(last, rel=1e-3)
    assert best["baseline_beaten"] is False and "NO TRIAL BEATS THE BASELINE" in shown.out
    assert re.search(r"\[1/1\] trial 0: val_mean_squared_error [\d.]+, NO better than", shown.err)
    served = tf.saved_model.load("out/best_model")
    np.testing.assert_allclose(served.serve(x.astype("float32"))[:, 0], found, rtol=1e-5)

    assert tune(*command[:-1], "--directory=plain", "--no-standardize") == 0
    plain = json.loads(Path("plain/best.json").read_text())
    assert plain["score_name"] == "val_loss" and plain["score"] > 100 * best["score"]


BAD = {
    "variant": (["--variants=LTSM"], "'LTSM'.*Did you mean 'LSTM'"),
    "empty range": (["--units=64:8"], "--units must be.*the range is empty.*64, 8"),
    "empty list": (["--units=,"], "--units must be whole numbers.*','"),
    "units": (["--units=x"], "--units must be whole numbers"),
    "rate": (["--dropout=1"], "--dropout must be.*out of bounds"),
    "both ways": (["--bidirectional=2"], "--bidirectional must be yes, no or both"),
    "forget bias": (["--forget-bias=much"], "--forget-bias must be.*'much'"),
    "forget bias nan": (["--forget-bias=nan"], "--forget-bias must be.*'nan'"),
    "two ranges": (["--forget-bias=0:1,2:3"], "one range or a list"),
    "objective": (["--objective=val_acc"], "--objective must be one of.*val_accuracy.*'val_acc'"),
    "trials": (["--max-trials=0"], "--max-trials must be a whole number from 1"),
    "executions": (["--executions-per-trial=0"], "--executions-per-trial"),
    "no unit": (["--max-time=30"], "--max-time must be a number above 0 with s, m, h or d"),
    "no time": (["--max-time=0m"], "--max-time must be a number above 0"),
    "chief's": (["--role=worker", "--retry", "--address=1.2.3.4:9"], "are for the chief"),
    "seed": (["--seed=-1"], "--seed must be"),
    "epochs": (["--epochs=1180591620717411303424"], "--epochs must be .* to 1,000,000"),
    "large seed": (["--seed=1180591620717411303424"], "--seed must be .* 4,294,967,294"),
    "no steps": (["--max-timesteps=0"], "--max-timesteps must be a number above 2"),
    "large rate": (["--learning-rate=1e30"], "--learning-rate must be.*1e[+]30 is out of bounds"),
    "large bias": (["--forget-bias=1e30"], "--forget-bias must be"),
    "no name": (["--role=worker", "--address=1.2.3.4:9", "--worker-id="], "--worker-id must be"),
    "no curves": (["--tensorboard="], "--tensorboard must be a path"),
    "grid": (["--tuner=grid", "--units=1:999", "--batch-size=1:999"], "more than 100,000"),
    "task and data": (["--task=adding"], "--data and --task do not go together"),
    "embedding": (["--embedding=8"], "--embedding is for sequences of integers"),
    "head": (["--head=guess"], "--head must be one of classification"),
    "wrong head": (["--head=labels"], "--head labels: y must be integers"),
    "role": (["--role=worker"], "--role worker needs --address"),
    "address": (["--role=chief", "--address=here"], "--address must be HOST:PORT"),
    "port": (["--role=chief", "--address=1.2.3.4:99999"], "--address must be HOST:PORT"),
    "not here": (["--role=chief", "--address=192.0.2.1:99"], "cannot be listened on"),
    "role and workers": (["--role=chief", "--workers=2"], "leave --role out"),
    "lone address": (["--address=1.2.3.4:99"], "--address goes with"),
    "worker id": (["--worker-id=a"], "--worker-id goes with --role worker"),
    "lost after": (["--lost-after=0"], "--lost-after must be"),
    "jit of replicas": (["--jit", "--replicas=2"], "--jit does not go with --replicas"),
    "foreign folder": (["--directory=."], "not empty and holds no search"),
    "a file": (["--directory=data.npz"], "cannot write to --directory 'data.npz'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_code_2(case, data, tmp_path, capsys):
    arguments, message = BAD[case]
    assert tune(data, *arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    assert shown.err.startswith("klv tune: ") and re.search(message, shown.err), shown.err
    assert not list(tmp_path.glob("klv_tune/trials/trial_*"))


def test_tasks_take_no_head(data, capsys):
    assert tune("--task=adding", "--head=labels") == 2
    assert "--head goes with --data" in capsys.readouterr().err
    assert tune("--task=ading") == 2
    assert "Did you mean 'adding'" in capsys.readouterr().err


def test_one_process_at_a_time(data, capsys):
    from keras_lstm_variants._cli import lock, work_folder

    (Path.cwd() / "out").mkdir()
    (Path.cwd() / "out/tensorflow.log").touch()
    with lock.lock(Path.cwd() / "out" / work_folder.LOCK):
        assert tune(data, *TINY, "--directory=out") == 2
    assert "another process works in --directory 'out'" in capsys.readouterr().err
