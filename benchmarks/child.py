"""Measurements that a process of their own makes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def measure(script: str, job: dict[str, Any]) -> dict[str, Any]:
    """What `script --child JOB` prints last in a fresh interpreter, or an `error`."""
    command = [sys.executable, str(Path(script).resolve()), "--child", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"error": f"exit code {done.returncode}: {lines[-1] if lines else 'no message'}"}
    return json.loads(done.stdout.splitlines()[-1])
