"""The stub file that editors read is that of today's signatures."""

from make_stubs import PATH, stub


def test_the_stubs_are_current():
    assert PATH.read_text(encoding="utf-8") == stub(), "run python tests/make_stubs.py"
