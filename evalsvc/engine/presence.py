"""Whether a model's files are where they would be loaded from; reads no weights and fetches nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from evalsvc.engine.models import _COMMIT, _HUB_NAME, _require_files
from evalsvc.engine.settings import PACKAGED_MODEL
from evalsvc.errors import EngineError


def absent(model: str, revision: str | None = None) -> str:
    """Return what would keep this model from loading, and the path or command that mends it; '' where nothing would.

    What only reading the weights shows is left to loading: whether they are those that ``revision`` pins, and
    whether the model is of the scorer's kind. A pinned hub model that is not cached is absent only where the hub's
    client is told to stay offline (``HF_HUB_OFFLINE``).

    >>> absent("no/such/folder")[:49]
    "`model` 'no/such/folder' is no folder here: put i"
    """
    if model == PACKAGED_MODEL:
        return ""  # the scorer names the package, which is looked for with its others
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _absent_files(folder, folder.resolve().name)
    if _HUB_NAME.fullmatch(model):
        return _absent_from_hub(model, revision)
    return (
        f"`model` {model!r} is no folder here: put its config.json, tokenizer.json and model.safetensors into "
        f"{folder.absolute()}, or give another folder or a hub name OWNER/NAME with `revision`"
    )


def _absent_files(folder: Path, name: str) -> str:
    try:
        _require_files(folder, name)
    except EngineError as error:
        return f"`model`: {error}"
    return ""


def _absent_from_hub(name: str, revision: str | None) -> str:
    if revision is None or not _COMMIT.fullmatch(revision):
        given = f"`revision` {revision!r} is no commit" if revision else f"`model` {name!r} is no folder here"
        return (
            f"{given}: a hub model needs `revision`, a commit of 40 hexadecimal digits, since a branch or tag can "
            f"change under its name; `git ls-remote https://huggingface.co/{name} HEAD` prints the newest"
        )
    if importlib.util.find_spec("huggingface_hub") is None:
        return "`model` is a hub name, and huggingface-hub is not installed; run: pip install 'evalsvc[torch]'"
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if not HF_HUB_OFFLINE:
        return ""
    try:
        folder = snapshot_download(name, revision=revision, local_files_only=True)
    except (OSError, ValueError):
        return (
            f"`model` {name!r} at {revision} is not in the local cache, and HF_HUB_OFFLINE is set; where there is a "
            f"network, run: hf download {name} --revision {revision}"
        )
    return _absent_files(Path(folder), name)
