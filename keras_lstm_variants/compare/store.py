"""The output folder of a comparison: finished runs, and what they have in common."""

import csv
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from keras_lstm_variants.compare.settings import Run
from keras_lstm_variants.registry import list_variants

RESULTS, LOG, PARTIAL = "results.json", "tensorflow.log", ".partial-"

# Of results.csv; every record of a run has them.
COLUMNS = (
    "variant",
    "seed",
    "parameters",
    "valid",
    "test",
    "best_epoch",
    "epochs",
    "ms_per_step",
    "seconds",
    "threads",
)


class StoreError(ValueError):
    """The output folder cannot be used; the message is one line for the user."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write all of it or nothing: a reader never sees half a file."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{PARTIAL}{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class Store:
    """Reads and writes `results.json`, `results.csv` and `runs/` in one folder."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.runs = self.folder / "runs"

    def open(self, identity: dict[str, Any]) -> None:
        """Make the folder, or check that it holds a comparison with this identity.

        Looks first: a folder that is refused stays as it was.
        """
        try:
            found = {p.name for p in self.folder.iterdir()} if self.folder.exists() else set()
            if RESULTS in found:
                self._check_same(self.folder / RESULTS, identity)
            elif found - {"runs", LOG}:
                raise StoreError(
                    f"--output {str(self.folder)!r} is not empty and holds no comparison: "
                    "give another folder"
                )
            self.runs.mkdir(parents=True, exist_ok=True)
            for folder in (self.folder, self.runs):
                with tempfile.TemporaryFile(dir=folder):
                    pass
            with open(self.folder / LOG, "ab"):
                pass
            for path in [*self.folder.glob(f"{PARTIAL}*"), *self.runs.glob(f"{PARTIAL}*")]:
                path.unlink()
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(f"cannot write to --output {str(self.folder)!r}: {reason}") from error

    def _check_same(self, results: Path, identity: dict[str, Any]) -> None:
        try:
            before = json.loads(results.read_text("utf-8"))["identity"]
            different = {k for k in {*before, *identity} if before.get(k) != identity.get(k)}
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise StoreError(
                f"--output {str(self.folder)!r} has an unreadable {RESULTS}: give another folder"
            ) from error
        if different:
            changes = ", ".join(
                f"{k} {before.get(k)!r} there, {identity.get(k)!r} here" for k in sorted(different)
            )
            raise StoreError(
                f"--output {str(self.folder)!r} holds another comparison ({changes}): "
                "give another folder"
            )

    def load_run(self, run: Run) -> dict[str, Any] | None:
        """The record of a finished run, or None."""
        try:
            record = json.loads((self.runs / f"{run.name}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        whole = isinstance(record, dict) and {*COLUMNS, "curve"} <= set(record)
        return record if whole else None

    def finished_runs(self) -> dict[Run, dict[str, Any]]:
        """All finished runs in the folder, whatever was asked for this time."""
        found = {}
        for path in sorted(self.runs.glob("*-seed*.json")):
            variant, _, seed = path.stem.rpartition("-seed")
            run = Run(variant, int(seed)) if seed.isdigit() else None
            if run and variant in list_variants() and (record := self.load_run(run)):
                found[run] = record
        return found

    def model_path(self, run: Run) -> Path:
        return self.runs / f"{run.name}.keras"

    def save_run(self, run: Run, record: dict[str, Any], model: Any) -> None:
        """The record is written last: with it the run counts as finished."""
        # A name that `open` clears away if this process is stopped in between.
        path = self.runs / f"{PARTIAL}{run.name}.keras"
        model.save(path)
        os.replace(path, self.model_path(run))
        data = json.dumps(record, indent=1, allow_nan=False)
        write_atomically(self.runs / f"{run.name}.json", data.encode())

    def save_results(self, results: dict[str, Any]) -> None:
        """`results.json`, and `results.csv` with a row for each run."""
        data = json.dumps(results, indent=1, allow_nan=False)
        write_atomically(self.folder / RESULTS, (data + "\n").encode())
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(results["runs"])
        write_atomically(self.folder / "results.csv", table.getvalue().encode())
