"""One search in its folder: begun or resumed, run, and brought to its results."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from keras_lstm_variants._cli import logs
from keras_lstm_variants._cli.machine import origin
from keras_lstm_variants._cli.tables import number
from keras_lstm_variants._cli.work_folder import LOG, StoreFailure, write_json
from keras_lstm_variants.tuning import tensorboard, workers
from keras_lstm_variants.tuning.messages import score, score_name, searched, shown
from keras_lstm_variants.tuning.progress import Progress
from keras_lstm_variants.tuning.results import (
    BEST,
    MODEL,
    SAVED_MODEL,
    TRIALS,
    SearchFolder,
    clean,
    fit_arguments,
    retrain,
    save_best,
    save_trials,
)
from keras_lstm_variants.tuning.search_plot import draw
from keras_lstm_variants.tuning.settings import Search, tuner_of
from keras_lstm_variants.tuning.tuner import FolderFailed, SearchError, TimeIsUp

PLOT = "search.png"


def run(search: Search) -> int:
    """The whole search in this process, or as the chief of others; returns the exit code."""
    arguments = search.arguments
    store = SearchFolder(arguments.directory)
    with store.held(search.identity):
        if logs.redirected():
            logs.send_logs_to(store.folder / LOG)
        write_json(
            store.folder / store.main,
            {
                "identity": search.identity,
                "data": {"name": search.data.name, "about": search.data.about},
                "max_trials": search.max_trials,
                "versions": origin(),
            },
        )
        with workers.environment(arguments), _writing(store):
            tuner = tuner_of(search)
            return _run(search, store, tuner)


@contextlib.contextmanager
def _writing(store: SearchFolder) -> Iterator[None]:
    """A `StoreFailure` for what fails because the folder does."""
    try:
        with store.writing():
            yield
    except FolderFailed as error:
        raise StoreFailure(f"cannot write to {store.shown}: {error}") from error


def _run(search: Search, store: SearchFolder, tuner: Any) -> int:
    arguments, oracle = search.arguments, tuner.oracle
    started = time.monotonic()
    settings = len(oracle.settings()) if arguments.tuner == "grid" else None
    progress = Progress(search, oracle, settings)
    if arguments.retry:
        again = oracle.retry_failed()
        print(f"{len(again)} failed trial(s) run again: {', '.join(again) or 'there are none'}.")
    if search.max_seconds is not None:
        oracle.deadline = started + search.max_seconds
    before = len(oracle.ended)
    oracle.baselines = search.data.baselines.of(score_name(oracle))
    _introduce(search, progress, settings)
    if oracle.trials:
        print(f"{before} trial(s) ended in {arguments.directory!r} already.", flush=True)

    def listener(kind: str, trial: Any) -> None:
        progress(kind, trial)
        if kind == "end":
            save_trials(store.folder, oracle, search.epochs)

    oracle.listener, tuner.on_epoch = listener, progress.epoch
    tensorboard.describe(search, oracle)
    try:
        _run_trials(search, tuner, progress)
        save_trials(store.folder, oracle, search.epochs)
        tuner.check_completed()
        best = store.best()
        if len(oracle.ended) == before and best and best["trials"] == before:
            if not oracle.time_is_up:
                print(_finished(before))
        else:
            best = _conclude(search, store, tuner)
    except KeyboardInterrupt:
        oracle.interrupt()
        print(
            f"\nStopped. {len(oracle.ended)} trial(s) ended and are kept in "
            f"{arguments.directory!r}; the same command continues.",
            file=sys.stderr,
        )
        return 130
    _show(search, best)
    print(f"Took {time.monotonic() - started:.0f} s. Results are in {arguments.directory!r}.")
    return 0


def _run_trials(search: Search, tuner: Any, progress: Progress) -> None:
    """Run what is missing, here or in other processes, until all is done or the time is up."""
    arguments, oracle = search.arguments, tuner.oracle
    if workers.needed(arguments):
        workers.lead(search, tuner, progress)
    else:
        callbacks = tensorboard.callbacks(search)
        # Told later, with the trials.
        with contextlib.suppress(SearchError, TimeIsUp):
            tuner.search(**fit_arguments(search.data), callbacks=callbacks, verbose=0)
    if oracle.time_is_up:
        oracle.interrupt()
        print(
            f"The time is up (--max-time {arguments.max_time}): {len(oracle.ended)} trial(s) "
            "ended. The same command goes on."
        )


def _introduce(search: Search, progress: Progress, settings: int | None) -> None:
    arguments = search.arguments
    print(f"{search.data.name}: {search.data.about}")
    print(f"Data sha256: {search.data.sha256}")
    tried = f"{progress.trials} trial(s)"
    if settings is not None:
        tried += f" of {settings} settings"
        if progress.trials < settings:
            tried += ", drawn without repeats"
    print(
        f"Search: {arguments.tuner}, {tried}, up to {search.epochs} epoch(s) each, for the best "
        f"{arguments.objective}; over {', '.join(sorted(searched(progress.oracle))) or 'nothing'}."
    )
    for name, value in search.data.baselines.test.items():
        print(f"  baseline {name}: test {search.data.metric} {number(value)}")
    for name, value in progress.oracle.baselines.items():
        print(f"  baseline {name}: {score_name(progress.oracle)} {number(value)}")
    sys.stdout.flush()


def _finished(trials: int) -> str:
    return (
        f"This search is finished: {trials} trial(s) ended, nothing is left to run. A larger "
        "--max-trials goes on with it (random, bayesian and grid, where settings are left); "
        "another --directory begins anew."
    )


def _conclude(search: Search, store: SearchFolder, tuner: Any) -> dict[str, Any]:
    """The plot, the best model trained again, and `best.json`."""
    oracle = tuner.oracle
    records = [
        {"score": score(oracle, t), "settings": clean(t.hyperparameters.values)}
        for t in oracle.completed
    ]
    title = f"klv tune: {search.data.name}, {len(records)} trials"
    drawn = {r["settings"]["variant"] for r in records}
    tried = {t.hyperparameters.values.get("variant") for t in oracle.ended}
    missing = [v for v in search.hypermodel.variants if v not in drawn]
    note = ", ".join(v + (" (failed)" if v in tried else "") for v in missing)
    note = note and f"Never tried, or without a score: {note}"
    name, direction = score_name(oracle), oracle.objective.direction
    try:
        draw(records, name, direction, store.folder / PLOT, title, oracle.baselines, note)
    except ModuleNotFoundError:
        print(f"No {PLOT}: pip install 'keras_lstm_variants[plot]' draws it.")
    trial = oracle.completed[0]
    print(f"Training the best setting (trial {trial.trial_id}) again.", flush=True)
    trained = retrain(search, tuner, trial, store.folder)
    return save_best(store.folder, search, oracle, trained, origin())


def _show(search: Search, best: dict[str, Any]) -> None:
    name, metric = best["score_name"], best["metric"]
    print(f"\nBest: trial {best['trial']}, {name} {number(best['score'])}:")
    if best["baseline_beaten"] is False:
        hardest = min if best["objective"]["direction"] == "min" else max
        baseline = hardest(best["baselines"], key=best["baselines"].get)
        print(
            f"NO TRIAL BEATS THE BASELINE {baseline!r} ({number(best['baselines'][baseline])}): "
            "recurrence has not helped on these data."
        )
    print(f"  {shown(best['settings'])}")
    trained = best["trained_again"]
    print(
        f"Trained again: {name} {number(trained[name])} in epoch {trained['best_epoch']} of "
        f"{trained['epochs']}, {trained['parameters']:,} parameters."
    )
    reached = trained["test"][metric]
    print(f"Test split, looked at once: {metric} {number(reached)}")
    for baseline, value in best["baselines_of_test"].items():
        note = "" if reached < value else "  <- not beaten"
        print(f"  baseline {baseline}: {number(value)}{note}")
    if best["failed"]:
        print(
            f"{best['failed']} of {best['trials']} trials failed; {TRIALS} says why. --retry runs "
            "them again."
        )
    print(f"Files: {BEST}, {TRIALS}, {PLOT}, {MODEL}, {SAVED_MODEL}/")
    if search.data.masked:
        print('The model is called with {"sequence": x, "mask": mask}.')
