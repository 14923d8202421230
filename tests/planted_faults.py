"""Plants the faults of `fault_table` in copies of the package: the tests must catch each.

    python tests/planted_faults.py               # every fault, its likely tests
    python tests/planted_faults.py --check       # only whether every fault still has its place
    python tests/planted_faults.py --clean       # the likely tests without a fault: all must pass
    python tests/planted_faults.py --only gru_recurrent_bias --tests "tests/test_parity.py -k GRU"

No part of the test suite: it takes about half an hour. The exit code is 0 if all faults are
caught, 1 if one is missed or a run tells nothing, 2 if a fault no longer has exactly one place.
"""

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fault_table import FAULTS, Fault

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "keras_lstm_variants"
SECONDS = 1800  # after which a run is ended

# A plugin of pytest: a run that imports another package than the patched one would tell nothing.
PLUGIN = f"""
from pathlib import Path

import pytest


def pytest_collection_finish():
    import {PACKAGE}

    found = Path({PACKAGE}.__file__).resolve().parents[1]
    if found != Path(__file__).resolve().parent:
        raise pytest.UsageError(f"the tests import {PACKAGE} from {{found}}")
"""

CAUGHT, MISSED, UNCLEAR = "caught", "MISSED", "UNCLEAR"


class Outcome(NamedTuple):
    """How the tests ended."""

    kind: str
    by: str  # the first test that failed, or what went wrong
    seconds: float


class WrongPlace(ValueError):
    """A fault does not have exactly one place in the package."""


def patched(fault: Fault, sources: dict[Path, str]) -> tuple[Path, str]:
    """The file in which the fault is planted, and its new text.

    Raises:
        WrongPlace: the old text does not occur exactly once, or the new one is no Python.
    """
    counts = {
        path: text.count(fault.old)
        for path, text in sources.items()
        if fault.file in ("", path.name)
    }
    places = [path for path, count in counts.items() if count]
    if sum(counts.values()) != 1:
        where = f" in {', '.join(map(str, places))}" if places else ""
        raise WrongPlace(f"{fault.name}: the old text occurs {sum(counts.values())} times{where}")
    path = places[0]
    text = sources[path].replace(fault.old, fault.new)
    try:
        compile(text, str(path), "exec")
    except SyntaxError as error:
        raise WrongPlace(f"{fault.name}: {path} is no Python any more: {error}") from None
    if text == sources[path]:
        raise WrongPlace(f"{fault.name}: the new text is the old one")
    return path, text


def checked(faults: Iterable[Fault], sources: dict[Path, str]) -> list[str]:
    """What is wrong with the table, a line each."""
    wrong, names = [], set()
    for fault in faults:
        if fault.name in names:
            wrong.append(f"{fault.name}: two faults have this name")
        names.add(fault.name)
        try:
            patched(fault, sources)
        except WrongPlace as error:
            wrong.append(str(error))
        for file in test_files(fault.tests):
            if not (ROOT / file).exists():
                wrong.append(f"{fault.name}: there is no {file}")
    return wrong


def test_files(arguments: str) -> list[str]:
    return [a.split("::")[0] for a in shlex.split(arguments) if a.startswith("tests/")]


def run(arguments: str, plant: Callable[[Path], None]) -> Outcome:
    """Run tests on a copy of the package, after `plant(folder of the copy)`."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="planted_fault_") as name:
        folder = Path(name)
        copy = folder / PACKAGE
        shutil.copytree(ROOT / PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        plant(copy)
        (folder / "imported_from_here.py").write_text(PLUGIN, "utf-8")
        (folder / "tmp").mkdir()
        paths = [str(ROOT / a) if a.startswith("tests/") else a for a in shlex.split(arguments)]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", *paths]
        command += ["-c", str(ROOT / "setup.cfg"), "--rootdir", str(ROOT)]
        command += ["-p", "imported_from_here", "-p", "no:cacheprovider"]
        with open(folder / "output.txt", "w+b") as output:
            process = subprocess.Popen(
                command,
                # Python puts this folder before all others.
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(folder),
                    "TMPDIR": str(folder / "tmp"),
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                end(process)
            output.seek(0)
            text = output.read().decode("utf-8", "replace")
    return Outcome(*judged(code, text), time.monotonic() - began)


def end(process: subprocess.Popen[bytes]) -> None:
    """End the run, and the processes that its tests have started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def judged(code: int | None, text: str) -> tuple[str, str]:
    """Whether the fault was caught, and by what, from pytest's exit code and output."""
    lines = text.strip().splitlines() or [""]
    failed = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    # pytest writes the way to the tests from the folder of the copy.
    first = failed[0].split(" - ")[0].split("tests/", 1)[-1] if failed else ""
    if code == 0:
        return MISSED, lines[-1]
    if code == 1 and first:
        return CAUGHT, first
    if code is None:
        return CAUGHT, f"no end within {SECONDS} s"
    # Killed from outside, as where memory is short, it tells nothing.
    if code < 0 and code != -signal.SIGKILL:
        return CAUGHT, f"the process died of signal {-code}"
    # 2: a file of tests cannot even be imported; 5: no test was chosen.
    return UNCLEAR, f"pytest ended with code {code}: {first or ' / '.join(lines[-3:])}"


def plant_and_run(fault: Fault, sources: dict[Path, str], tests: str | None) -> Outcome:
    path, text = patched(fault, sources)
    return run(tests or fault.tests, lambda copy: (copy / path).write_text(text, "utf-8"))


def run_clean(faults: list[Fault], tests: str | None, jobs: int) -> int:
    """The likely tests without a fault, each choice of tests once."""
    choices = list(dict.fromkeys(tests or f.tests for f in faults))
    bad = 0
    with ThreadPoolExecutor(jobs) as pool:
        outcomes = pool.map(lambda arguments: run(arguments, lambda copy: None), choices)
        for arguments, outcome in zip(choices, outcomes, strict=True):
            passed = outcome.kind == MISSED
            bad += not passed
            said = "passed" if passed else f"FAILED by {outcome.by}"
            print(f"{arguments}: {said} ({outcome.seconds:.0f} s)", flush=True)
    return 1 if bad else 0


def run_faults(faults: list[Fault], sources: dict[Path, str], tests: str | None, jobs: int) -> int:
    """Every fault; a line as each ends, and the table."""
    outcomes: dict[str, Outcome] = {}

    def one(fault: Fault) -> None:
        found = outcomes[fault.name] = plant_and_run(fault, sources, tests)
        print(
            f"[{len(outcomes)}/{len(faults)}] {fault.name}: {found.kind} "
            f"({found.by}; {found.seconds:.0f} s)",
            flush=True,
        )

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, faults))
    width = max(len(f.name) for f in faults)
    print(f"\n{'fault':<{width}}  caught by")
    for fault in faults:
        outcome = outcomes[fault.name]
        by = outcome.by if outcome.kind == CAUGHT else f"{outcome.kind}: {outcome.by}"
        was = "  (missed by the old suite)" if fault.missed_by_old_suite else ""
        print(f"{fault.name:<{width}}  {by}{was}")
    kinds = [outcomes[f.name].kind for f in faults]
    print(f"\n{kinds.count(CAUGHT)} of {len(kinds)} caught, {kinds.count(MISSED)} missed, ", end="")
    print(f"{kinds.count(UNCLEAR)} unclear")
    return 0 if kinds.count(CAUGHT) == len(kinds) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", metavar="NAME,...", help="these faults only")
    parser.add_argument("--list", action="store_true", help="list the faults")
    parser.add_argument("--check", action="store_true", help="check that each has its place")
    parser.add_argument("--clean", action="store_true", help="run the likely tests without a fault")
    parser.add_argument("--tests", metavar="ARGS", help="arguments of pytest, for all faults")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time")
    arguments = parser.parse_args()
    faults = list(FAULTS)
    if arguments.only:
        wanted = arguments.only.split(",")
        unknown = set(wanted) - {f.name for f in faults}
        if unknown:
            parser.error(f"--only: no fault is named {', '.join(sorted(unknown))}")
        faults = [f for f in faults if f.name in wanted]
    if arguments.jobs < 1:
        parser.error(f"--jobs must be at least 1. Received: {arguments.jobs}")
    sources = {
        path.relative_to(ROOT / PACKAGE): path.read_text("utf-8")
        for path in sorted((ROOT / PACKAGE).rglob("*.py"))
    }
    wrong = checked(faults, sources)
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        print(f"{len(wrong)} faults must be planted anew", file=sys.stderr)
        return 2
    if arguments.list:
        for fault in faults:
            where = patched(fault, sources)[0]
            print(f"{fault.name}  {where}\n  - {fault.old.strip()}\n  + {fault.new.strip()}")
            print(f"  {fault.tests}")
        return 0
    if arguments.check:
        print(f"{len(faults)} faults, each with one place")
        return 0
    if arguments.clean:
        return run_clean(faults, arguments.tests, arguments.jobs)
    return run_faults(faults, sources, arguments.tests, arguments.jobs)


if __name__ == "__main__":
    sys.exit(main())
