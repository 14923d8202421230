"""`klv tune` by several processes: a chief and workers on the loopback address."""

import json
import os
import re
import signal
import socket
import threading
from pathlib import Path

import pytest
from tune_helpers import TINY, oracle_state, save_data, start, trials_of, trouble, wait_for

from keras_lstm_variants.cli import main

__all__ = ["trouble"]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_data("data.npz")
    return "--data=data.npz"


def free_address():
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{there.getsockname()[1]}"


def accounted(folder, count):
    rows = trials_of(folder)
    assert len(rows) == count and {r["status"] for r in rows} <= {"COMPLETED", "FAILED"}
    state = oracle_state(folder)
    assert state["ongoing_trials"] == {} and state["retry_queue"] == []
    assert sorted(state["end_order"]) == [r["trial"] for r in rows]
    return rows


@pytest.mark.slow
@pytest.mark.processes
def test_a_chief_and_two_workers_one_of_which_is_killed(data, trouble, capsys):
    """The killed one never comes back: its trial is taken from it and run by the other."""
    command = [data, *TINY, "--import=tune_trouble", "--variants=Slow", "--directory=out"]
    command += ["--tuner=random", "--max-trials=3", "--batch-size=4:40"]
    command += [f"--address={free_address()}", "--lost-after=3", "--threads=1"]
    workers = {
        name: start(*command, "--role=worker", f"--worker-id={name}") for name in ("one", "two")
    }
    killed = []

    def kill():
        wait_for(lambda: "one" in oracle_state("out")["ongoing_trials"], *workers.values())
        workers["one"].send_signal(signal.SIGKILL)
        killed.append(oracle_state("out")["ongoing_trials"]["one"])

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        without_threads = [option for option in command if "--threads" not in option]
        assert main(["tune", *without_threads, "--role=chief"]) == 0
        killer.join()
        _, err = workers["two"].communicate(timeout=60)
        assert workers["two"].returncode == 0, err
        assert "no trial is left" in err
    finally:
        for process in workers.values():
            process.kill()
            process.communicate()
    rows = accounted("out", 3)
    assert [r["status"] for r in rows] == ["COMPLETED"] * 3
    assert oracle_state("out")["accounting"]["deaths"] == {killed[0]: 1}
    shown = capsys.readouterr()
    assert "one: no sign of life for 3 s, taken as lost" in shown.err
    assert f"trial {killed[0]}: its process died; it runs once more" in shown.err
    assert json.loads(Path("out/best.json").read_text())["trials"] == 3
    assert "KERASTUNER_ORACLE_IP" not in os.environ


@pytest.mark.slow
@pytest.mark.processes
def test_a_watched_group_outlives_a_trial_that_kills_its_worker(data, trouble, capsys):
    """That trial dies twice and has failed; so has one that raises, for a reason we hear of."""
    command = [data, *TINY, "--import=tune_trouble", "--directory=out", "--workers=2"]
    command += ["--tuner=grid", "--variants=Dies,Raises,LSTM"]
    assert main(["tune", *command]) == 0
    shown = capsys.readouterr()
    rows = {r["variant"]: r for r in accounted("out", 3)}
    assert rows["LSTM"]["status"] == "COMPLETED"
    assert rows["Dies"]["error"].startswith("its process died twice")
    assert "what must not be" in rows["Raises"]["error"]
    assert len(re.findall(r"worker-\d: its process died \(exit code -9\)", shown.err)) == 2
    assert "Test split" in shown.out


def test_a_trial_that_died_twice_has_failed_on_resume(data, tmp_path):
    """What one process does, without starting three."""
    import keras_tuner

    from keras_lstm_variants.tuning import RecurrentHyperModel, make_tuner

    hypermodel = RecurrentHyperModel(
        (4, 2), "regression", variants=["LSTM"], layers=1, units=[2, 3, 4]
    )

    def tuner():
        return make_tuner("random", hypermodel, directory="folder", max_trials=5)

    def end(oracle, name):
        oracle.update_trial(name, {"val_loss": 0.5})
        oracle.trials[name].status = "COMPLETED"
        oracle.end_trial(oracle.trials[name])

    first = tuner().oracle.create_trial("tuner0")
    again = tuner().oracle.create_trial("tuner0")
    assert again.trial_id == first.trial_id
    assert again.hyperparameters.values == first.hyperparameters.values
    third = tuner()
    (failed,) = third.oracle.ended
    assert (failed.trial_id, failed.status) == (first.trial_id, "FAILED")
    assert failed.message.startswith("its process died twice; --retry")
    other = third.oracle.create_trial("tuner0")
    assert other.trial_id != first.trial_id
    # Keras Tuner itself would run it for ever.
    assert isinstance(third, keras_tuner.Tuner)
    # Stopped by a person, it did not die.
    for _ in range(3):
        third.oracle.interrupt()
        third = tuner()
        assert third.oracle.create_trial("tuner0").trial_id == other.trial_id
    assert third.oracle.deaths == {first.trial_id: 2}
    # Nor did it if its worker was told to stop.
    for _ in range(3):
        third.oracle.lose("tuner0", died=False)
        assert third.oracle.create_trial("tuner0").trial_id == other.trial_id
    end(third.oracle, other.trial_id)

    assert third.oracle.retry_failed() == [first.trial_id]
    for k in (1, 2):  # it may die once, as at first
        fourth = tuner()
        assert fourth.oracle.create_trial("tuner0").trial_id == first.trial_id, k
    assert fourth.oracle.deaths == {first.trial_id: 1}
    end(fourth.oracle, first.trial_id)
    ended = tuner().oracle.trials[first.trial_id]
    assert (ended.status, ended.score, ended.message) == ("COMPLETED", 0.5, None)


def test_what_tells_a_process_to_stop_is_no_death():
    from keras_lstm_variants.tuning.workers import TOLD

    assert TOLD == {130, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}


def test_a_worker_needs_the_folder_of_its_chief(data, capsys, monkeypatch):
    from keras_lstm_variants.tuning import workers

    monkeypatch.setattr(workers.time, "monotonic", iter([0.0, 100.0, 200.0]).__next__)
    command = [data, *TINY, "--role=worker", f"--address={free_address()}", "--directory=none"]
    assert main(["tune", *command]) == 2
    assert "holds no search: it must be the folder of the chief" in capsys.readouterr().err
