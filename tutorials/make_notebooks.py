"""Makes a notebook of each numbered tutorial.

    python tutorials/make_notebooks.py --output notebooks

What the tutorials import from this folder is copied beside them. `pip install notebook`, then
`jupyter notebook` in the new folder, opens them.
"""

import argparse
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
HELPERS = ("common.py", "attention_copy.py")


def cells_of(script: str) -> list[tuple[str, str]]:
    """The cells of a script in percent format: ("markdown" or "code", text)."""
    parts = re.split(r"^# %%(.*)\n", script, flags=re.MULTILINE)
    if parts[0].strip():
        raise ValueError(f"the script does not begin with `# %%`: {parts[0][:60]!r}")
    found = []
    for marker, text in zip(parts[1::2], parts[2::2], strict=True):
        if marker.strip() not in ("", "[markdown]"):
            raise ValueError(f"unknown kind of cell: `# %%{marker}`")
        kind = "markdown" if marker.strip() else "code"
        text = text.strip("\n")
        if kind == "markdown":
            lines = text.split("\n")
            strange = [line for line in lines if line != "#" and not line.startswith("# ")]
            if strange:
                raise ValueError(f"no comment in a text cell: {strange[0]!r}")
            text = "\n".join(line[2:] for line in lines)
        found.append((kind, text))
    return found


def notebook_of(script: str) -> dict[str, Any]:
    """The notebook (nbformat 4.5) of a script in percent format."""
    cells = []
    for k, (kind, text) in enumerate(cells_of(script)):
        cell = {
            "cell_type": kind,
            "id": f"cell-{k}",
            "metadata": {},
            "source": text.splitlines(keepends=True),
        }
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def make(output: Path) -> list[Path]:
    """Write all notebooks, and copy what they import."""
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for script in sorted(FOLDER.glob("[0-9]*.py")):
        path = output / f"{script.stem}.ipynb"
        notebook = notebook_of(script.read_text("utf-8"))
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")
        written.append(path)
    for helper in HELPERS:
        shutil.copy(FOLDER / helper, output / helper)
    return written


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("notebooks"), help="their folder")
    for path in make(parser.parse_args().output):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
