"""The output folder of a comparison: finished runs, and what they have in common."""

import json
import math
import os
from typing import Any

from keras_lstm_variants._cli.tables import csv_data
from keras_lstm_variants._cli.work_folder import (
    PARTIAL,
    WorkFolder,
    write_atomically,
    write_json,
)
from keras_lstm_variants.compare.settings import Run

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

    def spare_identity(self) -> dict[str, Any] | None:
        """That of a finished run: they say again what `results.json` says."""
        for path in sorted(self.runs.glob("*-seed*.json")):
            identity = (_read(path) or {}).get("identity")
            if isinstance(identity, dict):
                return identity
        return None

    def finished_runs(self, identity: dict[str, Any]) -> tuple[dict[Run, dict[str, Any]], list]:
        """All finished runs of this comparison, whatever was asked for this time.

        Returns:
            Their records, and the names of files that are cut or of another comparison.
        """
        finished, others = {}, []
        for path in sorted(self.runs.glob("*-seed*.json")):
            record = _read(path)
            if record is None or record.pop("identity", identity) != identity:
                others.append(path.name)
            else:
                finished[Run(record["variant"], record["seed"])] = record
        return finished, others

    def failed_runs(self) -> dict[Run, str]:
        """Runs that failed in earlier commands, with the reason."""
        try:
            failed = json.loads((self.folder / RESULTS).read_text("utf-8"))["failed"]
            return {Run(f["variant"], f["seed"]): f["error"] for f in failed}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def model_path(self, run: Run) -> Any:
        return self.runs / f"{run.name}.keras"

    def save_run(
        self, run: Run, record: dict[str, Any], model: Any, identity: dict[str, Any]
    ) -> None:
        """The record is written last: with it the run counts as finished.

        Raises:
            StoreFailure: the folder is gone, or the disk full.
        """
        with self.writing():
            # A name that is cleared away if this process is stopped in between.
            path = self.runs / f"{PARTIAL}{run.name}.keras"
            model.save(path)
            os.replace(path, self.model_path(run))
            write_json(self.runs / f"{run.name}.json", {**record, "identity": identity})

    def save_results(self, results: dict[str, Any]) -> None:
        """`results.json`, and `results.csv` with a row for each run.

        Raises:
            StoreFailure: the folder is gone, or the disk full.
        """
        rows = [{name: run[name] for name in COLUMNS} for run in results["runs"]]
        with self.writing():
            write_json(self.folder / RESULTS, results)
            write_atomically(self.folder / "results.csv", csv_data(COLUMNS, rows))


def _read(path: Any) -> dict[str, Any] | None:
    """The record of a finished run; None if it is not whole, or that of another run."""
    try:
        record = json.loads(path.read_text("utf-8"))
        numbers = [record[name] for name in COLUMNS[1:]]
        numbers += [row[name] for row in record["curve"] for name in ("epoch", "valid")]
        whole = record["curve"] and all(map(math.isfinite, numbers))
        same = path.stem == Run(record["variant"], record["seed"]).name
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if whole and same else None
