"""What a fit keeps while it runs, so that an interrupted one goes on; files are written whole or not at all."""

from __future__ import annotations

import errno
import io
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from evalsvc._durable import write_whole as write_whole
from evalsvc._paths import shown_path
from evalsvc.errors import InputError
from evalsvc.fitting.values import Array

_KEY, _VERSION = "fit.json", "version"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITTEN = frozenset({*_FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR})


class Kept:
    """A folder with the logits of finished folds and the checkpoints of unfinished ones.

    Args:
        folder: of this fit alone; made where it is not there.
        key: what makes a fit another one, by name: rows, tasks, options, seed.
        restart: whether what is there is removed.
        version: of the detector that is made; ``version`` is that of the fit that is gone on with.

    Raises:
        InputError: what is there is of another fit, or of none.
    """

    def __init__(self, folder: Path, key: Mapping[str, str], *, restart: bool, version: int) -> None:
        self._folder, self.version = folder, version
        before = _read_key(folder / _KEY)
        if before is None and folder.is_dir() and any(folder.iterdir()):
            raise InputError(
                f"{shown_path(folder)} has files of something else than a fit, and is where one would keep its own; "
                "give another --out"
            )
        if restart and before is not None:
            shutil.rmtree(folder)
            before = None
        if before == {}:
            raise InputError(
                f"{shown_path(folder)} holds an unfinished fit whose {_KEY} is damaged; give another --out, or begin "
                "anew with --restart"
            )
        if before is not None:
            self.version = int(before.pop(_VERSION, version))
        if before is not None and before != key:
            other = [name for name in key if before.get(name) != key[name]]
            raise InputError(
                f"{shown_path(folder)} holds an unfinished fit with other {' and '.join(other) or 'settings'}; go on "
                "with those, give another --out, or begin anew with --restart"
            )
        if before is None:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / _KEY, msgspec.json.encode({**key, _VERSION: str(version)}))

    def logits(self, fold: int, shape: tuple[int, int]) -> Array | None:
        """Return a finished fold's logits; None where it is not finished, or its file is damaged."""
        try:
            made = np.load(io.BytesIO(self._file(fold).read_bytes()), allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None
        whole = isinstance(made, np.ndarray) and made.shape == shape and np.isfinite(made).all()
        return made if whole else None

    def keep(self, fold: int, logits: Array) -> None:
        """Keep a finished fold's logits, and remove its checkpoints."""
        content = io.BytesIO()
        np.save(content, logits, allow_pickle=False)
        write_whole(self._file(fold), content.getvalue())
        shutil.rmtree(self.checkpoints(f"fold-{fold}"), ignore_errors=True)

    def checkpoints(self, name: str) -> Path:
        """Return the folder for the checkpoints of one training, made where it is not there."""
        made = self._folder / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, fold: int) -> Path:
        return self._folder / f"fold-{fold}.npy"


def finished(folder: Path) -> int:
    """Return how many folds are kept."""
    return len(list(folder.glob("fold-*.npy")))


def make_folder(folder: Path) -> None:
    """Make the folder that a fit writes into.

    Raises:
        InputError: it is a file, is below one, or cannot be made there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        file = next((one for one in (folder, *folder.parents) if one.exists() and not one.is_dir()), None)
        if file is not None:
            raise InputError(f"{shown_path(file)} is a file; give a folder by --out") from error
        raise InputError(
            f"Cannot make the folder {shown_path(folder)}: {error.strerror or error}; give another --out"
        ) from error


@contextmanager
def told_if_not_written(out: Path, state: Path) -> Iterator[None]:
    """Say of a disk that takes nothing where that was, what is kept, and what to do.

    Raises:
        InputError: instead of OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_WRITTEN:
            raise
        where = shown_path(error.filename or out)
        have = finished(state)
        kept = f"; {have} finished {'fold is' if have == 1 else 'folds are'} kept" if have else ""
        raise InputError(
            f"Cannot write {where}: {error.strerror or error}{kept}. Make room or mend the folder, and run the same "
            "command again"
        ) from error


def _read_key(path: Path) -> dict[str, str] | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        return {}
