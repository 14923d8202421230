"""Next-character prediction: Python's own help pages, or a file of the user."""

from __future__ import annotations

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

from .floors import ORDER, character_floors
from .task import Task, TaskError, digest

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
            "task 'docs_text' needs pydoc_data.topics, which this Python lacks: "
            "give text_file=... instead"
        ) from None
    parts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for name, text in without_repeats(topics).items():
        parts[split_of(name)].append(text)
    train, valid, test = ("\n\n".join(parts[split]) for split in ("train", "valid", "test"))
    # The topics differ from one Python patch release to the next.
    source = f"the help topics of Python {platform.python_version()}, split by topic"
    return _task("docs_text", source, train, valid, test)


def text_from_file(text_file: str | os.PathLike[str], split: str | None = None) -> Task:
    """Characters of a UTF-8 file: the first 80 % train, the next 10 % valid, the rest test.

    Other shares are given as `split`, in percent, as "98/1/1".
    """
    split = split or "80/10/10"
    shown = repr(os.fspath(text_file)) if isinstance(text_file, os.PathLike) else repr(text_file)
    wanted = f"give a UTF-8 text of at least {MIN_CHARACTERS:,} characters"
    try:
        path = Path(text_file).expanduser()
        if path.is_dir():
            raise TaskError(f"text_file={shown} is a directory: {wanted}")
        raw = path.read_bytes()
    except TaskError:
        raise
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise TaskError(f"text_file={shown} cannot be read ({why}): {wanted}") from None
    try:
        text = raw.decode("utf-8-sig")  # -sig: a byte order mark is not part of the text
    except UnicodeDecodeError as error:
        raise TaskError(
            f"text_file={shown} is not UTF-8 (byte {error.start:,} does not decode): {wanted}"
        ) from None
    if len(text) < MIN_CHARACTERS:
        size = f"has only {len(text):,} characters" if text else "is empty"
        raise TaskError(f"text_file={shown} {size}: {wanted}")
    shares = [Fraction(share) for share in split.split("/")]
    first, second = (int(len(text) * sum(shares[:k]) / 100) for k in (1, 2))
    if min(first, second - first, len(text) - second) < MIN_PART:
        raise TaskError(
            f"split={split} leaves less than {MIN_PART} of the {len(text):,} characters of "
            f"text_file={shown} to train, to validate or to test on"
        )
    if len(set(text[:first])) < 2:
        raise TaskError(f"text_file={shown} repeats a single character: {wanted}")
    source = f"the text of {shown}, cut into {split} % in order"
    return _task("text", source, text[:first], text[first:second], text[second:])


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
        floors=character_floors(train, valid, test, len(symbols)),
        target=f"order-{ORDER}",
        sha256=digest((train, valid, test), symbols),
        symbols=symbols,
        about=(
            f"Predict the next character of {source}. {len(train):,} characters to train on, "
            f"{len(valid):,} valid, {len(test):,} test; {len(symbols)} symbols, "
            "the last one for any character not among them."
        ),
    )
