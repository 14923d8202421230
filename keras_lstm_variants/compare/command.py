"""`klv compare` from its arguments to its table."""

import argparse
import dataclasses
import sys
import time
from typing import Any

from keras_lstm_variants import _loading, tasks
from keras_lstm_variants._cli import logs
from keras_lstm_variants._cli.arguments import add_command, variants_of
from keras_lstm_variants._cli.errors import UsageError, fail, in_options
from keras_lstm_variants._cli.machine import origin
from keras_lstm_variants._cli.tables import number
from keras_lstm_variants._cli.work_folder import LOG, StoreError, StoreFailure, write_atomically
from keras_lstm_variants.compare import options
from keras_lstm_variants.compare.settings import Run, Settings
from keras_lstm_variants.compare.store import Store
from keras_lstm_variants.core.machine import cores, memory

# What needs TensorFlow is imported where it is used: errors should not wait for it.

CURVES = "curves.png"

_DESCRIPTION = """\
Train recurrent cells side by side under equal conditions and say which is better, on what
evidence. Without arguments: four cells learn to predict the next character of the help texts
that come with Python. Finished runs are kept in the output folder; the same command
continues a stopped comparison, and more variants or seeds may be added to it.
"""


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "compare",
        main,
        summary="train cells side by side and say which is better",
        description=_DESCRIPTION,
    )
    options.add_settings(parser)
    add = parser.add_argument
    add("--output", default="klv_compare", metavar="DIR", help="folder (default: %(default)s)")
    add(
        "--jit",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compile with XLA (default); without it, the same seed gives the same table",
    )
    add("--quick", action="store_true", help="a small run of under 30 seconds")
    add("--jobs", type=int, metavar="N", help="runs at a time (default: one for each core)")


def describe_settings(settings: Settings, task: tasks.Task) -> str:
    parts = [
        f"{settings.layers} layer(s) of {settings.units} units (equal units, not equal parameters)",
        f"{settings.epochs} epoch(s)",
        f"batches of {settings.batch} sequences of {settings.length(task)} steps",
        f"Adam with a peak learning rate of {settings.learning_rate:g}",
        f"XLA {'on' if settings.jit else 'off'}",
    ]
    if settings.dropout:
        parts.append(f"dropout {settings.dropout:g}")
    if settings.forget_bias == "chrono":
        parts.append(f"chrono up to {settings.length(task)} steps")
    return "Settings: " + ", ".join(parts) + "."


def jobs_of(requested: int | None, runs: int) -> tuple[int, int]:
    """Runs at a time, and threads of each."""
    import keras

    # Every process would claim the whole memory of an accelerator.
    usual = 1 if keras.distribution.list_devices("gpu") else cores()
    jobs = max(1, min(requested or usual, runs))
    return jobs, max(1, cores() // jobs)


def main(arguments: argparse.Namespace) -> int:
    """From arguments to the table; returns the exit code."""
    started = time.monotonic()
    try:
        comparison = prepare(arguments)
    except ValueError as error:
        return fail("klv compare", in_options(str(error)))
    try:
        with comparison.store.held(comparison.identity):
            code = comparison.run()
    except StoreError as error:
        return fail("klv compare", str(error))
    except StoreFailure as error:
        return fail("klv compare", f"{error}. The same command continues from what is there.", 1)
    if code != 130:
        print(f"Took {time.monotonic() - started:.0f} s. Results are in {arguments.output!r}.")
    return code


def prepare(arguments: argparse.Namespace) -> "Comparison":
    """What was asked for, checked, with its data.

    Raises:
        ValueError: with one line for the user.
    """
    variants = variants_of(arguments.variants)
    settings = options.settings_of(arguments)
    store = Store(arguments.output)
    store.look(settings.known_identity())
    task = tasks.load(settings.task, text_file=settings.text, split=settings.split)
    options.check_batches(settings, task)
    _loading.load()
    check_memory(variants, settings, task)
    return Comparison(arguments, variants, settings, task, store)


def check_memory(variants: list[str], settings: Settings, task: tasks.Task) -> None:
    """A `UsageError` if what the weights take in training is more than this machine has."""
    from keras_lstm_variants.analysis.describe import parameters

    text = task.kind == "next_symbol"
    inputs = settings.embedding if text else task.train[0].shape[2]
    for variant in variants:
        count = parameters(variant, inputs, settings.units)
        if settings.layers > 1:
            count += (settings.layers - 1) * parameters(variant, settings.units, settings.units)
        # The weights, their gradients and the two averages of Adam; four bytes each.
        if 16 * count > memory():
            raise UsageError(
                f"--units {settings.units} of --layers {settings.layers} are {count:,} weights of "
                f"{variant}, which take {16 * count:,} bytes to train; this machine has "
                f"{memory():,}"
            )


class Comparison:
    """One command at work in its folder."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        variants: list[str],
        settings: Settings,
        task: tasks.Task,
        store: Store,
    ) -> None:
        self.arguments, self.settings, self.task, self.store = arguments, settings, task, store
        self.runs = [Run(v, s) for s in range(arguments.seeds) for v in variants]
        self.identity = settings.identity(task.sha256)
        self.failed: dict[Run, str] = {}

    def run(self) -> int:
        """Train what is missing and show the results; returns the exit code.

        Raises:
            StoreFailure: the folder is gone, or the disk full.
        """
        if logs.redirected():
            logs.send_notes_to(self.store.folder / LOG)
        self.records, self.others = self.store.finished_runs(self.identity)
        missing = [run for run in self.runs if run not in self.records]
        # Those of earlier commands stay, unless they are tried again.
        before = self.store.failed_runs()
        self.failed_before = {
            run: why for run, why in before.items() if run not in {*self.runs, *self.records}
        }
        self.introduce(missing)
        self.save()
        try:
            if missing:
                self.train(missing)
        except KeyboardInterrupt:
            print(
                f"\nStopped. {len(set(self.runs) & set(self.records))} of {len(self.runs)} runs "
                f"are finished and kept in {self.arguments.output!r}; the same command continues.",
                file=sys.stderr,
            )
            return 130
        # Whatever else has come into the folder.
        self.records, _ = self.store.finished_runs(self.identity)
        self.save()
        self.show()
        return 1 if self.failed else 0

    def introduce(self, missing: list[Run]) -> None:
        task, kept = self.task, len(self.runs) - len(missing)
        print(f"{task.name}: {task.about}")
        print(f"Score: {task.metric}, lower is better. Data sha256: {task.sha256}")
        for name, scores in task.baselines.items():
            target = "  <- to beat" if name == task.target else ""
            valid, test = number(scores["valid"]), number(scores["test"])
            print(f"  baseline {name}: validation {valid}, test {test}{target}")
        print(describe_settings(self.settings, task))
        if self.arguments.quick:
            print("--quick trains too little to say which cell is better: it shows that all works.")
        if self.records:
            # Runs that were not asked for this time are of the same comparison: they stay in it.
            more = len(self.records) - kept
            others = f", and {more} more" if more else ""
            folder = repr(self.arguments.output)
            print(f"{kept} of {len(self.runs)} runs are finished in {folder} already{others}.")
        if self.others:
            print(
                f"Left out, as incomplete or of another comparison: {', '.join(self.others)} in "
                f"{str(self.store.runs)!r}."
            )

    def save(self) -> None:
        failed = {**self.failed_before, **self.failed}
        runs = [self.records[run] for run in sorted(self.records, key=dataclasses.astuple)]
        self.store.save_results(
            {
                "identity": self.identity,
                "arguments": options.options_only(self.arguments),
                "settings": dataclasses.asdict(self.settings),
                "versions": origin(),
                # Its name in the files of earlier versions.
                "floors": self.task.baselines,
                "metric": self.task.metric,
                "runs": runs,
                "failed": [{**dataclasses.asdict(r), "error": e} for r, e in failed.items()],
            }
        )

    def train(self, missing: list[Run]) -> None:
        from keras_lstm_variants.compare.pool import train_all
        from keras_lstm_variants.compare.progress import Progress

        jobs, threads = jobs_of(self.arguments.jobs, len(missing))
        print(
            f"Training {len(missing)} run(s), {jobs} at a time with {threads} thread(s) each.",
            flush=True,
        )
        progress = Progress(len(missing), self.settings.epochs, jobs)

        def listener(kind: str, run: Run, value: Any) -> None:
            progress(kind, run, value)
            if kind == "done":
                self.records[run] = value
            elif kind == "failed":
                self.failed[run] = value
            if kind in ("done", "failed"):
                self.save()

        train_all(
            missing,
            self.settings,
            self.arguments.output,
            jobs=jobs,
            threads=threads,
            listener=listener,
            modules=self.arguments.modules,
        )

    def show(self) -> None:
        from keras_lstm_variants.compare import report

        records = list(self.records.values())
        counts: dict[str, int] = {}
        for run in {**self.failed_before, **self.failed}:
            counts[run.variant] = counts.get(run.variant, 0) + 1
        print("\n" + report.table(records, counts, self.settings, self.task))
        print("\n" + report.verdict(records, self.task))
        if not records:
            return
        if self.task.kind == "next_symbol":
            self.show_text(records)
        if self.settings.epochs == 1:
            print(f"No {CURVES}: one epoch is a single point; use --epochs 2 or more.")
            return
        try:
            picture = report.draw_curves(records, self.task)
        except ModuleNotFoundError:
            print(f"No {CURVES}: pip install 'keras_lstm_variants[plot]' draws it.")
            return
        with self.store.writing():
            write_atomically(self.store.folder / CURVES, picture)

    def show_text(self, records: list[dict[str, Any]]) -> None:
        """A few lines generated by the best model, continuing the first line of the test split."""
        import keras

        from keras_lstm_variants.compare.generate_text import generate_text

        best = min(records, key=lambda r: r["valid"])
        run = Run(best["variant"], best["seed"])
        path = self.store.model_path(run)
        try:
            model = keras.models.load_model(path, compile=False)
        except Exception as error:  # removed or cut by hand, or of a class that is not imported
            reason = str(error).strip().splitlines()[0]
            print(f"\nNo text by {run.name}: its model cannot be read ({reason}).")
            return
        task = self.task
        start = "".join(task.symbols[k] for k in task.test[:400])
        prompt = next((line for line in start.splitlines() if len(line) > 20), start)[:60]
        text = generate_text(model, task.symbols, prompt, 300)
        print(f"\n{run.name}, given {prompt!r}, writes:")
        print("\n".join(f"  | {line}" for line in text.splitlines()))
        print(f"Its model: {path}\n")
