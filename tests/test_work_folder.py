"""Output folders: what they refuse, who may write, and what a full disk leaves behind."""

import json
import os
import re
import stat

import pytest

from keras_lstm_variants._cli import lock, work_folder
from keras_lstm_variants._cli.work_folder import (
    StoreError,
    StoreFailure,
    WorkFolder,
    write_atomically,
)


class Folder(WorkFolder):
    main = "main.json"
    parts = ("parts",)


ONE, TWO = {"units": 1}, {"units": 2}


def begun(path, identity=ONE):
    """A folder with work in it."""
    folder = Folder(path)
    with folder.held(identity):
        work_folder.write_json(folder.folder / "main.json", {"identity": identity})
    return folder


@pytest.mark.parametrize("text", ["", "a\0b", "a\ud800b"])
def test_what_is_no_path(text):
    with pytest.raises(StoreError, match="--output must be a path") as error:
        Folder(text)
    assert repr(text) in str(error.value)


def test_a_second_command_is_kept_out_and_changes_nothing(tmp_path):
    folder = begun(tmp_path / "out")
    half = folder.folder / "parts" / f"{work_folder.PARTIAL}theirs"
    half.write_text("half")
    with (
        lock.lock(folder.folder / work_folder.LOCK),
        pytest.raises(StoreError, match="another process works in --output"),
        folder.held(ONE),
    ):
        pass
    assert half.exists()
    with folder.held(ONE):
        assert not half.exists()


def test_work_that_another_process_began_before_the_lock_counts(tmp_path, monkeypatch):
    opened = Folder.open

    def begun_by_another(self, identity):
        opened(self, identity)
        (tmp_path / "main.json").write_text(json.dumps({"identity": TWO}))

    monkeypatch.setattr(Folder, "open", begun_by_another)
    with pytest.raises(StoreError, match="units 2 there, 1 here"), Folder(tmp_path).held(ONE):
        pass


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, capsys):
    def take(file):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lock, "_take", take)
    begun(tmp_path / "out")
    assert "cannot be locked (Function not implemented)" in capsys.readouterr().err


def test_a_folder_killed_at_its_first_file_is_used_again(tmp_path):
    (tmp_path / f"{work_folder.PARTIAL}main.json.12").write_text("half")
    begun(tmp_path)
    assert not list(tmp_path.glob(f"{work_folder.PARTIAL}*"))


@pytest.mark.parametrize("mask", [0o027, 0o002])
def test_files_keep_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        begun(tmp_path / "out")
    finally:
        os.umask(before)
    found = [tmp_path / "out" / name for name in ("main.json", work_folder.LOG, work_folder.LOCK)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o666 & ~mask}


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    folder = begun(tmp_path)
    before = (tmp_path / "main.json").read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = f"cannot write to --output '{tmp_path}': No space left on device"
    with pytest.raises(StoreFailure, match=re.escape(message)), folder.writing():
        write_atomically(tmp_path / "main.json", b"after")
    assert (tmp_path / "main.json").read_bytes() == before
    assert not list(tmp_path.glob(f"{work_folder.PARTIAL}*"))


def test_a_folder_that_is_gone(tmp_path):
    folder = Folder(tmp_path / "gone")
    with pytest.raises(StoreFailure, match="gone': No such file or directory"), folder.writing():
        write_atomically(folder.folder / "main.json", b"")
