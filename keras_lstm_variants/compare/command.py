"""`klv compare` from its arguments to its table."""

import argparse
import dataclasses
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from keras_lstm_variants import _stderr, tasks
from keras_lstm_variants.compare import report
from keras_lstm_variants.compare.progress import Progress
from keras_lstm_variants.compare.schedule import train_all
from keras_lstm_variants.compare.settings import Run, Settings, defaults
from keras_lstm_variants.compare.store import LOG, Store, StoreError
from keras_lstm_variants.compare.training import sequence_length
from keras_lstm_variants.compare.worker import load_task
from keras_lstm_variants.registry import find_variant, list_variants

DEFAULT_VARIANTS = ("LSTM", "PeepholeLSTM", "CoupledLSTM", "GRU")

_DESCRIPTION = """\
Train recurrent cells side by side under equal conditions and say which is better, on what
evidence. Without arguments: four cells learn to predict the next character of the help texts
that come with Python. Finished runs are kept in the output folder; the same command
continues a stopped comparison, and more variants or seeds may be added to it.
"""


# In the parsed arguments, but no arguments.
_INTERNAL = ("run", "parser")


class UsageError(ValueError):
    """An argument cannot be used; the message is one line for the user."""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "compare",
        help="train cells side by side and say which is better",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--variants",
        default=",".join(DEFAULT_VARIANTS),
        help="names separated by commas, or 'all' (default: %(default)s)",
    )
    add("--task", default=None, help=f"{', '.join(tasks.TASKS)} (default: docs_text)")
    add("--text", metavar="FILE", help="predict the characters of your own UTF-8 text")
    add("--units", type=int, help="units of each recurrent layer (default: 128 for text, else 64)")
    add("--layers", type=int, help="recurrent layers (default: 1)")
    add(
        "--epochs",
        type=int,
        help="passes over the training data (default: by task)",
    )
    add("--seeds", type=int, default=1, metavar="N", help="runs of each variant (default: 1)")
    add("--forget-bias", metavar="B", help="a number, or chrono (default: each variant's usual)")
    add("--output", default="klv_compare", metavar="DIR", help="folder (default: %(default)s)")
    add(
        "--jit",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compile with XLA (default); without it, the same seed gives the same table",
    )
    add("--quick", action="store_true", help="a look in under 30 seconds, small and short")
    add("--jobs", type=int, metavar="N", help="runs at a time (default: one for each core)")
    parser.set_defaults(run=main, parser=parser)


def variants_of(text: str) -> list[str]:
    if text == "all":
        return list_variants()
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"--variants {text!r} names no variant")
    try:
        return list(dict.fromkeys(map(find_variant, names)))
    except ValueError as error:
        raise UsageError(str(error)) from error


def settings_of(arguments: argparse.Namespace) -> Settings:
    task = arguments.task or ("text" if arguments.text else "docs_text")
    if arguments.text and task in ("docs_text", "text"):
        task = "text"
    if task not in (*tasks.TASKS, "text"):
        tasks.load(task)  # raises the error that names the tasks
    for name in ("units", "layers", "epochs", "seeds", "jobs"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} must be a whole number above 0. Received: {value}")
    chosen = {n: getattr(arguments, n) for n in ("units", "layers", "epochs")}
    chosen = {n: v for n, v in chosen.items() if v is not None}
    return Settings(
        **{
            **defaults(task, quick=arguments.quick),
            **chosen,
            "task": task,
            "text": arguments.text,
            "forget_bias": forget_bias_of(arguments.forget_bias),
            "jit": arguments.jit,
        }
    )


def forget_bias_of(text: str | None) -> float | str | None:
    if text is None or text == "chrono":
        return text
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value - value != 0:  # not a number, or infinite
        raise UsageError(f"--forget-bias must be a number or chrono. Received: {text!r}")
    return value


def _in_options(message: str) -> str:
    """A message of `tasks` in the words of the command line."""
    for name, option in (("task name=", "--task "), ("text_file=", "--text "), ("...", " FILE")):
        message = message.replace(name, option)
    return message


def describe_settings(settings: Settings, task: tasks.Task) -> str:
    parts = [
        f"{settings.layers} layer(s) of {settings.units} units (equal units, not equal parameters)",
        f"{settings.epochs} epoch(s)",
        f"batches of {settings.batch} sequences of {sequence_length(settings, task)} steps",
        f"Adam with a peak learning rate of {settings.learning_rate:g}",
        f"XLA {'on' if settings.jit else 'off'}",
    ]
    if settings.forget_bias == "chrono":
        parts.append(f"chrono up to {sequence_length(settings, task)} steps")
    return "Settings: " + ", ".join(parts) + "."


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("keras_lstm_variants", "keras", "tensorflow", "tensorflow-cpu", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def jobs_of(requested: int | None, runs: int) -> tuple[int, int]:
    """Runs at a time, and threads of each."""
    import keras

    # Every process would claim the whole memory of an accelerator.
    usual = 1 if keras.distribution.list_devices("gpu") else cores()
    jobs = max(1, min(requested or usual, runs))
    return jobs, max(1, cores() // jobs)


def main(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    try:
        variants = variants_of(arguments.variants)
        settings = settings_of(arguments)
        task = load_task(settings)
        store = Store(arguments.output)
        identity = settings.identity(task.sha256)
        store.open(identity)
        if _stderr.redirected():
            _stderr.send_notes_to(store.folder / LOG)
    except (UsageError, tasks.TaskError, StoreError) as error:
        print(f"klv compare: {_in_options(str(error))}", file=sys.stderr)
        return 2
    runs = [Run(v, s) for s in range(arguments.seeds) for v in variants]
    # Runs that were not asked for this time are of the same comparison: they stay in it.
    records = store.finished_runs()
    missing = [run for run in runs if run not in records]
    failed: dict[Run, str] = {}

    print(f"{task.name}: {task.about}")
    print(f"Score: {task.metric}, lower is better. Data sha256: {task.sha256}")
    for name, floor in task.floors.items():
        target = "  <- to beat" if name == task.target else ""
        scores = f"validation {report.number(floor['valid'])}, test {report.number(floor['test'])}"
        print(f"  floor {name}: {scores}{target}")
    print(describe_settings(settings, task))
    if arguments.quick:
        print("--quick trains very little: it shows that all runs, not which cell is better.")
    if records:
        kept = len(runs) - len(missing)
        others = f", and {len(records) - kept} more" if len(records) > kept else ""
        print(f"{kept} of {len(runs)} runs are finished in {arguments.output!r} already{others}.")

    def save() -> None:
        store.save_results(
            {
                "identity": identity,
                "arguments": {k: v for k, v in vars(arguments).items() if k not in _INTERNAL},
                "settings": dataclasses.asdict(settings),
                "versions": versions(),
                "floors": task.floors,
                "metric": task.metric,
                "runs": [records[run] for run in sorted(records, key=dataclasses.astuple)],
                "failed": [{**dataclasses.asdict(r), "error": e} for r, e in failed.items()],
            }
        )

    progress = Progress(len(missing), settings.epochs)

    def listener(kind: str, run: Run, value: Any) -> None:
        progress(kind, run, value)
        if kind == "done":
            records[run] = value
        elif kind == "failed":
            failed[run] = value
        if kind in ("done", "failed"):
            save()

    save()
    if missing:
        jobs, threads = jobs_of(arguments.jobs, len(missing))
        print(
            f"Training {len(missing)} run(s), {jobs} at a time with {threads} thread(s) each.",
            flush=True,
        )
        try:
            train_all(
                missing,
                settings,
                arguments.output,
                jobs=jobs,
                threads=threads,
                listener=listener,
                modules=arguments.modules,
            )
        except KeyboardInterrupt:
            print(
                f"\nStopped. {len(set(runs) & set(records))} of {len(runs)} runs are finished and "
                f"kept in {arguments.output!r}; the same command continues.",
                file=sys.stderr,
            )
            return 130
    show(store, list(records.values()), failed, settings, task)
    print(f"Took {time.monotonic() - started:.0f} s. Results are in {arguments.output!r}.")
    return 1 if failed else 0


def show(
    store: Store,
    records: list[dict[str, Any]],
    failed: dict[Run, str],
    settings: Settings,
    task: tasks.Task,
) -> None:
    counts: dict[str, int] = {}
    for run in failed:
        counts[run.variant] = counts.get(run.variant, 0) + 1
    print("\n" + report.table(records, counts, settings, task))
    print("\n" + report.verdict(records, task))
    if not records:
        return
    if task.kind == "next_symbol":
        print_text(store, records, task)
    try:
        report.draw_curves(records, task, store.folder / "curves.png")
    except ModuleNotFoundError:
        print("No curves.png: pip install 'keras_lstm_variants[plot]' draws it.")


def print_text(store: Store, records: list[dict[str, Any]], task: tasks.Task) -> None:
    """A few lines by the best model, continuing the first line of the test split."""
    import keras

    from keras_lstm_variants.compare.writing import write_text

    best = min(records, key=lambda r: r["valid"])
    run = Run(best["variant"], best["seed"])
    if not store.model_path(run).exists():
        return
    model = keras.models.load_model(store.model_path(run), compile=False)
    start = "".join(task.symbols[k] for k in task.test[:400])
    prompt = next((line for line in start.splitlines() if len(line) > 20), start)[:60]
    text = write_text(model, task.symbols, prompt, 300)
    print(f"\n{run.name}, given {prompt!r}, writes:")
    print("\n".join(f"  | {line}" for line in text.splitlines()))
    print(f"Its model: {store.model_path(run)}\n")
