"""Next-character prediction: Python's own help pages, or a file of the user."""

import hashlib
import os
import platform
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np

from keras_lstm_variants.tasks.baselines import ORDER, character_baselines
from keras_lstm_variants.tasks.task import Task, TaskError, digest

# Stands for every character that has no id of its own: always the last symbol, even when
# nothing maps to it, so that the meaning of the last id does not depend on the data.
RESERVED = "\ufffd"
MIN_CHARACTERS = 20_000  # for a user's own file
MIN_PART = 200  # for each split
MAX_DISTINCT = 255  # with more distinct characters only the 254 most frequent keep an id
REPEAT_LENGTH = 80  # shorter paragraphs (headings, table rules) may occur more than once

_PLAIN = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}
)


def to_ascii(text: str) -> str:
    """`text` with quotes and dashes made plain, accents dropped and the rest as "?"."""
    text = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    text = "".join(c for c in text if not unicodedata.combining(c))
    return text.encode("ascii", "replace").decode("ascii")


def split_of(topic: str) -> str:
    """The split of a topic, from its name alone: "test", "valid" (a tenth each) or "train"."""
    digit = int(hashlib.sha256(topic.encode("utf-8")).hexdigest(), 16) % 10
    return {0: "test", 1: "valid"}.get(digit, "train")


def without_repeats(topics: Mapping[str, str]) -> dict[str, str]:
    """ASCII text of each topic, sorted by name, each long paragraph only where first met.

    The help pages quote one another: about a fifth of the text is repeats, which would put
    test paragraphs into the training split. Line breaks and indentation are ignored in the
    comparison, because a quoted paragraph is often indented differently.
    """
    seen: set[str] = set()
    kept = {}
    for name in sorted(topics):
        paragraphs = []
        for paragraph in re.split(r"\n\s*\n", to_ascii(topics[name]).strip("\n")):
            key = " ".join(paragraph.split())
            if len(key) > REPEAT_LENGTH:
                if key in seen:
                    continue
                seen.add(key)
            paragraphs.append(paragraph)
        kept[name] = "\n\n".join(paragraphs)
    return kept


def docs_text() -> Task:
    """Characters of `pydoc_data.topics`, the help pages that come with CPython."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise TaskError(
            "task 'docs_text' needs pydoc_data.topics, which this Python lacks: give a `text_file`"
        ) from None
    parts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for name, text in without_repeats(topics).items():
        parts[split_of(name)].append(text)
    train, valid, test = ("\n\n".join(parts[split]) for split in ("train", "valid", "test"))
    # The topics differ from one Python patch release to the next.
    source = f"the help topics of Python {platform.python_version()}, split by topic"
    return _task("docs_text", source, train, valid, test)


def shares_of(split: str) -> list[Fraction]:
    """Percent to train, to validate and to test on, of `"80/10/10"`.

    Raises:
        ValueError: it is no such text.
    """
    parts = split.split("/") if isinstance(split, str) else []
    if len(parts) == 3 and all(re.fullmatch(r"\d{1,3}(\.\d{1,6})?", p, re.ASCII) for p in parts):
        shares = [Fraction(part) for part in parts]
        if min(shares) > 0 and sum(shares) == 100:
            return shares
    raise ValueError(
        "`split` must be three numbers above 0 that sum up to 100, as 80/10/10: percent to train, "
        f"to validate and to test on. Received: split={split!r}"
    )


def text_from_file(text_file: str | os.PathLike[str], split: str | None = None) -> Task:
    """Characters of a UTF-8 file: the first 80 % train, the next 10 % valid, the rest test.

    Other shares are given as `split`, in percent, as "98/1/1".

    Raises:
        TaskError: the file cannot be read, is no UTF-8, or too short.
        ValueError: `split` is not as above.
    """
    split = "80/10/10" if split is None else split
    shares = shares_of(split)
    shown = repr(os.fspath(text_file)) if isinstance(text_file, os.PathLike) else repr(text_file)
    text = _read(text_file, shown)
    first, second = (int(len(text) * sum(shares[:k]) / 100) for k in (1, 2))
    if min(first, second - first, len(text) - second) < MIN_PART:
        raise TaskError(
            f"`split` must leave at least {MIN_PART} of the {len(text):,} characters of "
            f"`text_file` to train, to validate and to test on. Received: split={split}, "
            f"text_file={shown}"
        )
    if len(set(text[:first])) < 2:
        raise _unusable(shown, "repeats a single character")
    source = f"the text of {shown}, cut into {split} % in order"
    return _task("text", source, text[:first], text[first:second], text[second:])


def _read(text_file: str | os.PathLike[str], shown: str) -> str:
    try:
        path = Path(text_file).expanduser()
        raw = None if path.is_dir() else path.read_bytes()
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _unusable(shown, f"cannot be read ({reason})") from None
    if raw is None:
        raise _unusable(shown, "is a directory")
    try:
        text = raw.decode("utf-8-sig")  # -sig: a byte order mark is not part of the text
    except UnicodeDecodeError as error:
        raise _unusable(shown, f"is not UTF-8 (byte {error.start:,} does not decode)") from None
    if len(text) < MIN_CHARACTERS:
        size = f"has only {len(text):,} characters" if text else "is empty"
        raise _unusable(shown, size)
    return text


def _unusable(shown: str, reason: str) -> TaskError:
    return TaskError(
        f"`text_file` must be a UTF-8 text of at least {MIN_CHARACTERS:,} characters: it {reason}. "
        f"Received: text_file={shown}"
    )


def choose_symbols(train: str) -> str:
    """The characters that get an id, sorted by code point, then the reserved one."""
    counts = Counter(train)
    counts.pop(RESERVED, None)
    kept = sorted(counts)
    if len(kept) > MAX_DISTINCT:
        kept = sorted(sorted(kept, key=lambda c: (-counts[c], c))[: MAX_DISTINCT - 1])
    return "".join(kept) + RESERVED


def to_ids(text: str, symbols: str) -> np.ndarray:
    """Ids of the characters of `text`, int32 (time,); unknown characters get the last id."""
    table = np.full(0x110000, len(symbols) - 1, dtype=np.int32)  # one entry per code point
    table[[ord(c) for c in symbols]] = np.arange(len(symbols))
    return table[np.frombuffer(text.encode("utf-32-le"), dtype="<u4")]


def _task(name: str, source: str, *texts: str) -> Task:
    """The next_symbol task over three texts: train, valid, test."""
    symbols = choose_symbols(texts[0])
    train, valid, test = (to_ids(text, symbols) for text in texts)
    return Task(
        name=name,
        kind="next_symbol",
        metric="bits/char",
        train=train,
        valid=valid,
        test=test,
        baselines=character_baselines(train, valid, test, len(symbols)),
        target=f"order-{ORDER}",
        sha256=digest((train, valid, test), symbols),
        symbols=symbols,
        about=(
            f"Predict the next character of {source}. {len(train):,} characters to train on, "
            f"{len(valid):,} valid, {len(test):,} test; {len(symbols)} symbols, "
            "the last one for any character not among them."
        ),
    )
