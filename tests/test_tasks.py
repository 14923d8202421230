"""The data sets of `klv compare`: splits, digests, baselines and error messages."""

import hashlib
import math
import sys

import numpy as np
import pytest

from keras_lstm_variants import tasks
from keras_lstm_variants.tasks import text as text_module

LONG = "This paragraph is long enough to count as a repeat, for it has over eighty characters. "


@pytest.fixture(scope="module")
def docs():
    return tasks.load("docs_text")


@pytest.fixture
def text_file(tmp_path):
    """A function that writes a text (or bytes) to a file and returns its path."""

    def write(content):
        path = tmp_path / "own.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write


def some_text(count, seed=0, letters="abcdefgh \n"):
    return "".join(np.random.default_rng(seed).choice(list(letters), count))


def decoded(task, split):
    return "".join(task.symbols[i] for i in getattr(task, split))


# --- docs_text --------------------------------------------------------------------------------


def test_docs_text_is_a_stream_of_ids(docs):
    assert (docs.name, docs.kind, docs.metric) == ("docs_text", "next_symbol", "bits/char")
    for split in ("train", "valid", "test"):
        ids = getattr(docs, split)
        assert ids.dtype == np.int32 and ids.ndim == 1 and len(ids) > 10_000
        assert 0 <= ids.min() and ids.max() < len(docs.symbols)
    assert docs.symbols == "".join(sorted(set(decoded(docs, "train")))) + text_module.RESERVED
    assert docs.symbols[:-1].isascii()


def test_docs_text_baselines(docs):
    assert docs.target == "order-4"
    for split in ("valid", "test"):
        # Wide enough for the help pages of any Python, far too narrow for a leak or a bug.
        assert 4.5 < docs.baselines["memoryless"][split] < 5.0
        assert 2.1 < docs.baselines["order-4"][split] < 2.4


def test_docs_text_splits_are_disjoint_by_topic(docs):
    from pydoc_data.topics import topics

    digit = {n: int(hashlib.sha256(n.encode()).hexdigest(), 16) % 10 for n in topics}
    wanted = {"test": [0], "valid": [1], "train": list(range(2, 10))}
    whole = {split: decoded(docs, split) for split in wanted}
    for name, body in text_module.without_repeats(topics).items():
        home = next(split for split, digits in wanted.items() if digit[name] in digits)
        assert text_module.split_of(name) == home
        assert body in whole[home]
        if len(body) > 200:
            assert not any(body in whole[split] for split in wanted if split != home)


def test_docs_text_has_no_long_paragraph_twice(docs):
    from pydoc_data.topics import topics

    def long_paragraphs(text):
        lines = [" ".join(part.split()) for part in text.split("\n\n")]
        return [line for line in lines if len(line) > 80]

    raw = long_paragraphs("\n\n".join(text_module.to_ascii(t) for t in topics.values()))
    kept = [
        p for split in ("train", "valid", "test") for p in long_paragraphs(decoded(docs, split))
    ]
    assert len(raw) > len(set(raw))  # the help pages do repeat themselves
    assert len(kept) == len(set(kept)) > 500


def test_repeats_are_dropped_only_when_long_and_where_first_met_by_name():
    topics = {
        "b": f"Short.\n\n{LONG}\n\nOnly in b.",
        "a": f"Short.\n\n    {LONG.replace(' long', chr(10) + '    long')}\n\nOnly in a.",
    }
    kept = text_module.without_repeats(topics)
    assert list(kept) == ["a", "b"]
    assert kept["b"] == "Short.\n\nOnly in b."
    assert "enough to count" in kept["a"] and kept["a"].startswith("Short.\n\n    This")


def test_to_ascii_keeps_text_readable():
    assert text_module.to_ascii("“a” – b’s… é ß") == '"a" - b\'s... e ?'


def test_docs_text_without_the_help_pages(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(tasks.TaskError, match="pydoc_data.*text_file"):
        tasks.load("docs_text")


# --- text -------------------------------------------------------------------------------------


def test_text_is_cut_in_order_and_keeps_its_characters(text_file):
    text = some_text(20_005, letters="aé\r\n\t😀Z ")
    task = tasks.load("text", text_file=text_file(text))
    assert (task.name, task.target) == ("text", "order-4")
    parts = [decoded(task, split) for split in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [16_004, 2_000, 2_001]
    assert "".join(parts) == text
    assert task.symbols == "\t\n\r Zaé😀" + text_module.RESERVED
    for split in ("valid", "test"):  # nearly 8 equally likely characters: 3 bits
        assert task.baselines["memoryless"][split] == pytest.approx(3, abs=0.02)


@pytest.mark.parametrize(
    ("split", "lengths"),
    [(None, (16_000, 2_000, 2_000)), ("33.3/33.3/33.4", (6_660, 6_660, 6_680))],
)
def test_a_text_is_cut_where_it_is_told(text_file, split, lengths):
    task = tasks.load("text", text_file=text_file(some_text(20_000)), split=split)
    assert (len(task.train), len(task.valid), len(task.test)) == lengths
    assert f"cut into {split or '80/10/10'} % in order" in task.about


def test_a_split_that_is_too_small(text_file):
    with pytest.raises(
        tasks.TaskError, match="`split` must leave at least 200 of the 20,000.*1/98.9/0.1"
    ):
        tasks.load("text", text_file=text_file(some_text(20_000)), split="1/98.9/0.1")


def test_text_file_turns_docs_text_into_text_and_may_be_a_string(text_file):
    path = text_file(some_text(20_000))
    assert tasks.load("docs_text", text_file=str(path)).name == "text"


def test_a_byte_order_mark_is_not_part_of_the_text(text_file):
    task = tasks.load("text", text_file=text_file(b"\xef\xbb\xbf" + some_text(20_000).encode()))
    assert "\ufeff" not in task.symbols and len(task.train) == 16_000


def test_characters_only_in_valid_or_test_map_to_the_reserved_symbol(text_file):
    text = some_text(20_000)
    text = text[:16_500] + "Q" + text[16_501:19_000] + "X" + text[19_001:]
    task = tasks.load("text", text_file=text_file(text))
    reserved = len(task.symbols) - 1
    assert "Q" not in task.symbols and "X" not in task.symbols
    assert np.flatnonzero(task.train == reserved).tolist() == []
    assert np.flatnonzero(task.valid == reserved).tolist() == [500]
    assert np.flatnonzero(task.test == reserved).tolist() == [1_000]
    assert math.isfinite(task.baselines["order-4"]["test"])


@pytest.mark.parametrize(("distinct", "kept"), [(255, 255), (256, 254), (300, 254)])
def test_many_distinct_characters_keep_the_254_most_frequent(text_file, distinct, kept):
    letters = [chr(0x4E00 + i) for i in range(distinct)]
    # The later a letter, the more often it occurs: the rare ones have the small code points.
    text = "".join(c * (50 + i) for i, c in enumerate(letters)) + letters[-1] * 60_000
    task = tasks.load("text", text_file=text_file(text))
    assert task.symbols == "".join(letters[distinct - kept :]) + text_module.RESERVED
    replaced = np.count_nonzero(task.train == len(task.symbols) - 1)
    assert replaced == sum(50 + i for i in range(distinct - kept))


def test_order_4_is_below_memoryless_on_text_with_structure(text_file, docs):
    task = tasks.load("text", text_file=text_file(decoded(docs, "train")[:60_000]))
    for baselines in (task.baselines, docs.baselines):
        for split in ("valid", "test"):
            assert baselines["order-4"][split] < baselines["memoryless"][split] - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "20,000.*is empty"),
        (b"a b " * 4_999, "20,000.*only 19,996 characters"),
        (b"a" * 15_000 + b"\xff\xfe" + b"b" * 15_000, "not UTF-8.*15,000"),
        (b"a" * 30_000, "single character"),
    ],
)
def test_unusable_text_files(text_file, content, message):
    with pytest.raises(tasks.TaskError, match=message) as error:
        tasks.load("text", text_file=text_file(content))
    assert "own.txt" in str(error.value) and "\n" not in str(error.value)


def test_text_files_that_cannot_be_read(tmp_path):
    with pytest.raises(tasks.TaskError, match="is a directory"):
        tasks.load("text", text_file=tmp_path)
    with pytest.raises(tasks.TaskError, match="cannot be read.*No such file.*none.txt"):
        tasks.load("text", text_file=tmp_path / "none.txt")
    for odd in (3, "a\0b"):
        with pytest.raises(tasks.TaskError, match="`text_file` must be.*cannot be read"):
            tasks.load("text", text_file=odd)


# --- digests and arguments --------------------------------------------------------------------


@pytest.mark.slow
def test_the_digest_is_stable_and_follows_seed_and_length(docs, digits):
    assert tasks.load("docs_text").sha256 == docs.sha256 == tasks.load("docs_text", seed=5).sha256
    assert tasks.load("digits").sha256 == digits.sha256 != tasks.load("digits", seed=1).sha256
    adding = tasks.load("adding", length=8).sha256
    assert adding == tasks.load("adding", length=8).sha256
    others = {tasks.load("adding", length=8, seed=1).sha256, tasks.load("adding", length=9).sha256}
    assert len({adding, docs.sha256, digits.sha256} | others) == 5
    assert all(len(s) == 64 and int(s, 16) for s in (adding, docs.sha256, digits.sha256))


def test_the_digest_sees_order_dtype_shape_and_symbols():
    from keras_lstm_variants.tasks.task import digest

    a, b = np.arange(4, dtype=np.int32), np.arange(4, 8, dtype=np.int32)
    variants = [
        digest((a, b)),
        digest((b, a)),
        digest((a[::-1], b)),
        digest((a.view(np.float32), b)),
        digest((a.reshape(2, 2), b)),
        digest((np.concatenate([a, b]),)),
        digest((a, b), "xy"),
        digest((a, b), "xz"),
    ]
    assert len(set(variants)) == len(variants)
    assert digest((a.astype(">i4"), b)) == digest((a, b)) == digest(((a, b),))


def test_digest_follows_the_characters_of_a_text(text_file):
    text = some_text(20_000)
    first = tasks.load("text", text_file=text_file(text)).sha256
    assert first == tasks.load("text", text_file=text_file(text)).sha256
    # "h" -> "i" gives the same ids, but it is another text.
    assert first != tasks.load("text", text_file=text_file(text.replace("h", "i"))).sha256


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "ading",
            {},
            "`name` must be one of .*'docs_text', 'adding', .*'ading'. Did you mean 'adding'",
        ),
        ("DIGITS", {}, "Did you mean 'digits'"),
        ("doc_text", {}, "Did you mean 'docs_text'"),
        ("zzz", {}, "must be one of .*docs_text', 'adding', 'digits.*'zzz'$"),
        (None, {}, "name=None"),
        ("text", {}, "`text_file` must be given for the task 'text'"),
        (
            "adding",
            {"text_file": "own.txt"},
            "`text_file` must be None for the task 'adding'.*'own.txt'",
        ),
        (
            "digits",
            {"text_file": "own.txt"},
            "`text_file` must be None for the task 'digits'.*'own.txt'",
        ),
        (
            "docs_text",
            {"length": 20},
            "`length` must be None for the task 'docs_text': only 'adding'.*length=20",
        ),
        ("digits", {"length": 8}, "the task 'digits': only 'adding'.*length=8"),
        ("text", {"length": 8, "text_file": "own.txt"}, "the task 'text': only 'adding'.*length=8"),
        ("adding", {"length": 3}, "`length` must be a whole number from 4 to 5,000.*length=3"),
        ("adding", {"length": -4}, "`length` must be a positive integer.*length=-4"),
        ("adding", {"length": 5_001}, "from 4 to 5,000.*length=5001"),
        ("adding", {"length": 8.0}, "`length` must be.*length=8.0"),
        ("adding", {"length": "8"}, "`length` must be.*length='8'"),
        ("adding", {"length": True}, "`length` must be.*length=True"),
        ("adding", {"seed": -1}, "`seed` must be a whole number from 0.*seed=-1"),
        ("adding", {"split": "80/10/10"}, "`split` must be None without `text_file`"),
        ("text", {"text_file": "own.txt", "split": "80/20"}, "`split` must be.*split='80/20'"),
        ("text", {"text_file": "own.txt", "split": 80}, "`split` must be three numbers.*split=80"),
        ("docs_text", {"seed": 0.5}, "`seed` must be.*seed=0.5"),
    ],
)
def test_what_cannot_be_loaded(name, options, message):
    with pytest.raises(ValueError, match=message) as error:
        tasks.load(name, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_task_keeps_the_promises_of_the_class(name):
    if name == "digits":
        pytest.importorskip("sklearn")
    task = tasks.load(name)
    assert task.name == name and task.target in task.baselines
    assert task.about.endswith(".") and len(task.about) < 300
    for scores in task.baselines.values():
        assert set(scores) == {"valid", "test"}
        assert all(type(score) is float and score > 0 for score in scores.values())
    assert bool(task.symbols) == (task.kind == "next_symbol")
    assert bool(task.classes) == (task.kind == "classification")
    with pytest.raises(AttributeError):
        task.name = "other"
    assert issubclass(tasks.TaskError, ValueError)
