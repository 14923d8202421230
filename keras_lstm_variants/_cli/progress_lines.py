"""Progress lines: rewritten in place at a terminal, printed now and then elsewhere."""

import shutil
import sys
import time
from collections.abc import Hashable
from typing import TextIO

# Seconds between two lines of one piece of work where lines cannot be rewritten.
_QUIET = 15.0


class LiveLines:
    """A line for each piece of work that is running, and a lasting one for each that ended.

    Args:
        stream: where to print; the standard error by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.active: dict[Hashable, str] = {}
        self.printed: dict[Hashable, float] = {}
        self.drawn = 0

    def start(self, key: Hashable, line: str) -> None:
        """Work begins: its line shows at a terminal only."""
        self.printed[key] = time.monotonic()
        self.active[key] = line
        self._draw()

    def update(self, key: Hashable, line: str) -> None:
        """Work goes on: its line, at most every few seconds where lines stay."""
        self.active[key] = line
        now = time.monotonic()
        if self.live:
            self._draw()
        elif now - self.printed[key] > _QUIET:
            self.printed[key] = now
            print(line, file=self.stream, flush=True)

    def end(self, key: Hashable, line: str) -> None:
        """Work ended: a line that stays."""
        self.active.pop(key, None)
        self.note(line)

    def note(self, line: str) -> None:
        """A line that stays, above those of running work."""
        self._clear()
        print(line, file=self.stream, flush=True)
        self._draw()

    def _clear(self) -> None:
        if self.drawn:
            self.stream.write(f"\x1b[{self.drawn}A\x1b[J")
            self.drawn = 0

    def _draw(self) -> None:
        if self.live:
            self._clear()
            # A line that wraps would count as two when it is cleared.
            width = shutil.get_terminal_size().columns - 1
            for line in self.active.values():
                self.stream.write(line[:width] + "\n")
            self.drawn = len(self.active)
            self.stream.flush()
