"""What the numbered tutorials share: their two arguments, the clock and the pictures."""

import argparse
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

    def pyplot(self) -> Any:
        """matplotlib's pyplot, or None where it is not installed: then there are no pictures."""
        try:
            import matplotlib
        except ModuleNotFoundError:
            return None
        if not self.notebook:
            matplotlib.use("Agg")
        from matplotlib import pyplot

        return pyplot

    def save(self, figure: Any, name: str) -> None:
        """Write a picture; a notebook shows it, too."""
        figure.savefig(self.output / name, dpi=100, bbox_inches="tight")
        print(f"Picture: {self.output / name}")

    def done(self) -> None:
        wall, processor = self.begun
        wall, processor = time.monotonic() - wall, time.process_time() - processor
        print(f"\nTook {wall:.0f} s, {processor:.0f} s of processor time.")
