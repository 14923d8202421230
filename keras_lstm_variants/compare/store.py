"""The output folder of a comparison: finished runs, and what they have in common."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from keras_lstm_variants._folder import (
    LOG,
    PARTIAL,
    StoreError,
    WorkFolder,
    write_atomically,
    write_json,
)
from keras_lstm_variants.compare.settings import Run
from keras_lstm_variants.registry import list_variants

__all__ = ["LOG", "RESULTS", "Store", "StoreError", "write_atomically"]

RESULTS = "results.json"

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


class Store(WorkFolder):
    """Reads and writes `results.json`, `results.csv` and `runs/` in one folder."""

    holds = "comparison"
    main = RESULTS
    parts = ("runs",)

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__(folder)
        self.runs = self.folder / "runs"

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
        write_json(self.runs / f"{run.name}.json", record)

    def save_results(self, results: dict[str, Any]) -> None:
        """`results.json`, and `results.csv` with a row for each run."""
        write_json(self.folder / RESULTS, results)
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(results["runs"])
        write_atomically(self.folder / "results.csv", table.getvalue().encode())
