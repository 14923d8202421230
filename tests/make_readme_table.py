"""Writes the table of cells into README.md."""

from pathlib import Path

from keras_lstm_variants.core import registry

BEGIN, END = "<!-- cells: made by tests/make_readme_table.py -->\n", "<!-- /cells -->"

if __name__ == "__main__":
    path = Path(__file__).parent.parent / "README.md"
    before, rest = path.read_text("utf-8").split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(before + BEGIN + registry.markdown_table() + END + after, "utf-8")
