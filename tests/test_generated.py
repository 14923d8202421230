"""What is made from the classes is that of today's classes."""

import shutil

from make_generated import ROOT, generated, main, out_of_date


def test_generated_text_is_current():
    assert list(out_of_date(ROOT)) == [], "run python tests/make_generated.py"


def test_stale_text_is_named_and_written(tmp_path, capsys):
    for path in generated(ROOT):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    stale = tmp_path / "README.md"
    current = stale.read_text("utf-8")
    stale.write_text(current.replace("| `GRU` |", "| `GUR` |"), "utf-8")
    (tmp_path / "keras_lstm_variants/core/variant_names.py").unlink()

    named = "out of date: README.md\nout of date: keras_lstm_variants/core/variant_names.py\n"
    assert main(["--check"], tmp_path) == 1 and capsys.readouterr().out == named
    assert main([], tmp_path) == 0
    assert capsys.readouterr().out == named.replace("out of date", "written")
    assert main(["--check"], tmp_path) == 0 and capsys.readouterr().out == ""
    assert stale.read_text("utf-8") == current
