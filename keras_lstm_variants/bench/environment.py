"""On what, with what and when something was measured."""

import datetime
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from keras_lstm_variants._cli.machine import versions
from keras_lstm_variants.core.machine import cores


def environment() -> dict[str, Any]:
    """Versions, machine, date, command line and commit of this process."""
    return {
        "versions": versions("torch", "torchrecurrent"),
        "machine": machine(),
        "date": now(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "git_commit": git_commit(),
    }


def machine() -> dict[str, Any]:
    return {"cpu": cpu_model(), "cores": cores(), "platform": platform.platform()}


def cpu_model() -> str:
    """The processor's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def load() -> float | None:
    """How many processes wanted a core in the last minute: what else the machine does."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def busy() -> str | None:
    """A sentence if the machine has other work, which makes times longer; else None."""
    now = load()
    if now is None or now < 0.5:
        return None
    return (
        f"The machine was busy before the start (load {now} on {cores()} cores): times are too "
        "long and ratios unreliable, most of all torch's."
    )


def git_commit() -> str | None:
    """The commit that the package is from, with a plus if files differ; None if unknown."""
    folder = Path(__file__).parent.parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    # An installed package may lie in somebody else's repository, and is no part of it.
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit, changed = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", ".")
    return commit and commit + ("+" if changed else "")
