"""What the numbered tutorials share: their two arguments, the clock and the pictures."""

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any


class Tutorial:
    """How a tutorial was called: `tiny`, `output`, and when it began.

    In a notebook, where nobody gives arguments, the defaults hold.
    """

    def __init__(self, title: str) -> None:
        self.begun = time.monotonic(), time.process_time()
        self.notebook = "ipykernel" in sys.modules
        parser = argparse.ArgumentParser(description=title)
        default = Path("tutorial_output")
        parser.add_argument("--output", type=Path, default=default, help=f"default: {default}")
        parser.add_argument("--tiny", action="store_true", help="seconds: only whether it runs")
        found = parser.parse_args([] if self.notebook else None)
        self.tiny: bool = found.tiny
        self.output: Path = found.output
        self.output.mkdir(parents=True, exist_ok=True)
        print(title + (" (tiny: the numbers mean nothing)" if self.tiny else ""))

    @property
    def pictures(self) -> bool:
        """Whether there are pictures: matplotlib is installed."""
        return importlib.util.find_spec("matplotlib") is not None

    def figure(self, width: float, height: float) -> Any:
        """An empty figure of this size in inches."""
        from matplotlib.figure import Figure

        return Figure(figsize=(width, height), layout="constrained")

    def save(self, figure: Any, name: str) -> None:
        """Write a picture; a notebook shows it, too."""
        path = self.output / name
        figure.savefig(path, dpi=100, bbox_inches="tight")
        print(f"Picture: {path}")
        if self.notebook:
            from IPython.display import Image, display

            display(Image(path))

    def done(self) -> None:
        wall, processor = self.begun
        wall, processor = time.monotonic() - wall, time.process_time() - processor
        print(f"\nTook {wall:.0f} s, {processor:.0f} s of processor time.")
