"""The data files of one split of a folder in the layout of Hugging Face's datasets.

Splits are told by words of the files' names, as their library does (``train-00000-of-00001.parquet``,
``data/test.jsonl``, ``test/part.csv``); a README's ``configs:`` in its YAML front matter comes before the names.
Layout: https://huggingface.co/docs/hub/datasets-file-names-and-splits and .../datasets-manual-configuration
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalsvc._hints import did_you_mean
from evalsvc.errors import SourceError
from evalsvc.sources._readers import reader_for, suffixes

_SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_SHARD = re.compile(r"^(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}(?:-\w+)?\.")
_FRONT = re.compile(r"\A---\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)
_TO_START = "put cases there or name another folder; `evalsvc cases draw --out FILE` draws some from production"
_ABOUT = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})


def data_files(folder: Path, split: str, config: str) -> tuple[Path, ...]:
    """Return the files of the split, sorted by name; without ``split``, of the only one.

    Raises:
        SourceError: there are no such files, no such split, or several splits and none is chosen.
    """
    by_split = _by_config(folder, config) or _by_name(folder, config)
    if not by_split:
        arrow = any(folder.rglob("*.arrow"))
        hint = "Arrow files are not read: save the set with `to_parquet`" if arrow else _TO_START
        raise SourceError(f"{folder}: the folder holds no file ending in {suffixes()}; {hint}")
    if split and split not in by_split:
        raise SourceError(f"{folder}: there is no split {split!r} ({did_you_mean(split, by_split)})")
    if not split and len(by_split) > 1:
        raise SourceError(f"{folder}: expected a `split`, as there are several: {', '.join(sorted(by_split))}")
    return tuple(sorted(by_split[split or next(iter(by_split))]))


def _by_name(folder: Path, config: str) -> dict[str, list[Path]]:
    root = folder / config if config else folder
    if config and not root.is_dir():
        raise SourceError(f"{folder}: there is no config {config!r}: no such folder, and none in the README")
    found: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*")):
        inner = path.relative_to(root)
        if path.is_file() and path.name not in _ABOUT and reader_for(path) and not _hidden(inner):
            found.setdefault(_split_of(inner), []).append(path)
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.parts)


def _split_of(path: Path) -> str:
    """Return the split that a file's name says, else the one that its folder says, else ``train`` as theirs does."""
    shard = _SHARD.match(path.name)
    if shard:
        return _SPLITS.get(shard["split"], shard["split"])
    for part in (path.name, *reversed(path.parent.parts)):
        words = re.split(r"[^a-z0-9]+", part.lower())
        named = [_SPLITS[word] for word in words if word in _SPLITS]
        if named:
            return named[0]
    return "train"


def _by_config(folder: Path, config: str) -> dict[str, list[Path]]:
    """Return the files by split that the README's ``configs:`` name; nothing where it has none."""
    configs = {str(found.get("config_name", "default")): found for found in _configs(folder)}
    configs = {name: found for name, found in configs.items() if found.get("data_files")}
    if not configs:
        return {}
    chosen = config or next((name for name, found in configs.items() if found.get("default") is True), "")
    chosen = chosen or ("default" if "default" in configs else next(iter(configs)) if len(configs) == 1 else "")
    if chosen not in configs:
        what = f"there is no config {config!r}" if config else "expected a `config`, as there are several"
        raise SourceError(f"{folder}: {what}: {', '.join(configs)}")
    found: dict[str, list[Path]] = {}
    for split, pattern in _patterns(configs[chosen]["data_files"]):
        matches = _matches(folder, pattern)
        if not matches:
            raise SourceError(f"{folder}/README.md: config {chosen!r} names {pattern!r}, which matches no file here")
        found.setdefault(split, []).extend(matches)
    return found


def _matches(folder: Path, pattern: str) -> list[Path]:
    """Return the files that a pattern names; of what lies outside of the folder, nothing."""
    relative = Path(pattern)
    if relative.is_absolute() or ".." in relative.parts:
        return []
    return sorted(path for path in folder.glob(pattern) if path.is_file())


def _patterns(data_files: object) -> list[tuple[str, str]]:
    entries = data_files if isinstance(data_files, list) else [data_files]
    found: list[tuple[str, str]] = []
    for entry in entries:
        if isinstance(entry, Mapping):
            paths = entry.get("path", [])
            split = str(entry.get("split", "train"))
            found += [(split, str(path)) for path in (paths if isinstance(paths, list) else [paths])]
        else:
            found.append(("train", str(entry)))
    return found


def _configs(folder: Path) -> Sequence[Mapping[str, Any]]:
    import yaml

    readme = folder / "README.md"
    if not readme.is_file():
        return ()
    front = _FRONT.search(readme.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n"))
    if front is None:
        return ()
    try:
        card = yaml.safe_load(front[1])
    except (yaml.YAMLError, ValueError) as error:
        raise SourceError(f"{readme}: the YAML between its `---` lines cannot be read; correct it") from error
    configs = card.get("configs") if isinstance(card, dict) else None
    return [found for found in configs if isinstance(found, dict)] if isinstance(configs, list) else ()
