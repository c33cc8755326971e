"""Files that are whole or absent, and on the disk before they have their name."""

import errno
import os
from pathlib import Path

import pytest

from evalsvc._durable import write_whole
from evalsvc.detection import adapter
from evalsvc.fitting import kept
from evalsvc.gate import keeping, record


@pytest.fixture
def steps(monkeypatch):
    """Return what is done with files: synced ones by their names, and renames."""
    made = []
    opened, replace = {}, Path.replace

    def open_(path, *given, real=os.open):
        handle = real(path, *given)
        opened[handle] = Path(path).name
        return handle

    def renamed(path, to):
        made.append(("rename", to.name))
        return replace(path, to)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "fsync", lambda handle: made.append(("sync", opened[handle])))
    monkeypatch.setattr(Path, "replace", renamed)
    return made


def test_content_is_synced_before_the_name_and_the_folder_after(tmp_path, steps):
    write_whole(tmp_path / "new" / "a.bin", b"one")
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"one"
    (first, part), *rest = steps
    assert first == "sync"
    assert part.startswith(".a.bin.")
    assert rest == [("rename", "a.bin"), ("sync", "new")]


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_whole(tmp_path / "a.bin", b"one")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a.bin", b"two")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"one"]


def test_a_file_system_that_cannot_sync_folders_is_borne(tmp_path, monkeypatch):
    def sync(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", sync)
    write_whole(tmp_path / "a.bin", b"one")
    assert (tmp_path / "a.bin").read_bytes() == b"one"


def test_all_that_keep_files_write_them_so():
    assert {module.write_whole for module in (adapter, kept, keeping, record)} == {write_whole}
