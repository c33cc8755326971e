"""Runs are kept in the project: a folder for each verdict, and the records they were decided from by their digests.

``.evalsvc/runs/SUITE/VERDICT/`` holds ``verdict.json`` and the reports; ``.evalsvc/records/DIGEST.jsonl.zst`` the
answers and scores of a version, once, however many verdicts were made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import msgspec

from evalsvc._durable import write_whole
from evalsvc._paths import shown_path
from evalsvc._run_locks import exclusive
from evalsvc.errors import ConfigError, InputError
from evalsvc.gate.looking import Definition, Plan, look, order_of
from evalsvc.gate.record import decode_record, digest_of_record, read_content, write_record
from evalsvc.gate.stating import differences, stated_again
from evalsvc.verdicts import GateResult, Verdict, VerdictQuery


class Again(NamedTuple):
    """A verdict, the same decided anew from its records, and the fields in which the two differ."""

    verdict: Verdict
    anew: Verdict
    differs: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs that the records tell."""
        return not self.differs

    @property
    def results(self) -> tuple[GateResult, ...]:
        """The gates as they were decided anew."""
        return self.anew.gates


class RunKeeper:
    """Keeps runs below a project's ``.evalsvc`` and finds them again."""

    def __init__(self, root: Path) -> None:
        """Keep below ``root/.evalsvc``; nothing is made before the first run is kept."""
        self.root = root / ".evalsvc"

    def folder(self, verdict: Verdict) -> Path:
        """Return where a run's files are."""
        return self.root / "runs" / verdict.suite / verdict.verdict_id

    def record_path(self, digest: str) -> Path:
        """Return where the record of a digest is, or would be."""
        return self.root / "records" / f"{digest}.jsonl.zst"

    def keep(self, verdict: Verdict, files: Mapping[str, str], *records: bytes) -> Path:
        """Write a verdict with its reports and records, each file whole or not at all, and return the folder.

        The verdict comes last: where it is, everything is. Meanwhile nothing that is kept is pruned.

        Raises:
            OSError: where nothing can be written, as on a read-only checkout.
        """
        folder = self.folder(verdict)
        folder.mkdir(parents=True, exist_ok=True)
        with self.alone():
            for content in records:
                digest = digest_of_record(content)
                if not self._holds(digest):
                    write_record(self.record_path(digest), content)
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                write_whole(folder / name, text.encode())
            write_whole(folder / "verdict.json", msgspec.json.format(msgspec.json.encode(verdict), indent=2) + b"\n")
        return folder

    def alone(self) -> AbstractContextManager[None]:
        """Let one process at a time keep a run, or remove some."""
        return exclusive(self.root / "runs", "keep", "keeps or removes runs in .evalsvc")

    def find(self, verdict_id: str) -> Verdict:
        """Return a verdict by its id, or by a beginning of it that only one has.

        Raises:
            InputError: when there is none, or several.
        """
        found = self._paths(verdict_id)
        if len(found) != 1:
            kept = (path.parent.name for path in (self.root / "runs").glob("*/*/verdict.json"))
            last = sorted(kept, reverse=True)[:3]
            none = "there is none in .evalsvc/runs" + (f"; the last there are {', '.join(last)}" if last else "")
            have = f"{len(found)} begin so" if found else none
            raise InputError(f"Expected the id of one verdict, but got {verdict_id!r}, and {have}")
        return read_verdict(found[0])

    def has(self, verdict_id: str) -> bool:
        """Return whether a verdict of this id, or of one that begins so, is kept.

        Raises:
            InputError: on what can be no id.
        """
        return bool(self._paths(verdict_id))

    def _paths(self, verdict_id: str) -> list[Path]:
        return sorted((self.root / "runs").glob(f"*/{_safe(verdict_id)}*/verdict.json"))

    def verdicts(self, asked: VerdictQuery, limit: int) -> list[Verdict]:
        """Return at most ``limit`` of the verdicts that are kept, the newest first, as a log does.

        Raises:
            ConfigError: when one of them cannot be read.
        """
        paths = sorted((self.root / "runs").glob("*/*/verdict.json"), key=lambda path: path.parent.name, reverse=True)
        found = (read_verdict(path) for path in paths if asked.suite in ("", path.parent.parent.name))
        kept = [
            one
            for one in found
            if (asked.since is None or one.decided_at >= asked.since)
            and (asked.until is None or one.decided_at < asked.until)
        ]
        return kept[:limit]

    def latest(self, suite: str) -> Verdict | None:
        """Return the last verdict of a suite; None where it has none."""
        found = sorted((self.root / "runs" / suite).glob("*/verdict.json"))
        return read_verdict(found[-1]) if found else None

    def record(self, digest: str) -> bytes:
        """Return the record of a digest.

        Raises:
            ConfigError: when it is not kept, or was changed.
        """
        path = self.record_path(digest)
        mend = "remove it: a run with the same answers and scores writes it anew"
        try:
            content = read_content(path)
        except ConfigError as error:
            raise ConfigError(f"{error}; {mend}" if path.exists() else str(error)) from error
        if digest_of_record(content) != digest:
            raise ConfigError(
                f"Expected {path} to be as it was written (sha256 {digest[:12]}…), but it was changed; {mend}"
            )
        return content

    def _holds(self, digest: str) -> bool:
        """Whether the record of a digest is kept, and is what was written: a damaged one is written again."""
        try:
            self.record(digest)
        except ConfigError:
            return False
        return True

    def again(self, verdict: Verdict) -> Again:
        """Decide a verdict again from its records.

        Raises:
            ConfigError: when a record is not kept any more.
        """
        return decide_again(
            verdict,
            self.record(verdict.candidate.digest),
            self.record(verdict.baseline.digest) if verdict.baseline else None,
        )


def decide_again(verdict: Verdict, candidate: bytes, baseline: bytes | None) -> Again:
    """Return what the records say under the verdict's own definition, look by look where it was.

    Compared is all that they tell: decisions, numbers and reasons of every gate, metric and segment, what the versions
    are called and what made them, counts of cases and answers, costs, scorers. :func:`stated_again` names the rest.

    Raises:
        ConfigError: when a record is none, or the verdict's definition.
    """
    try:
        definition = msgspec.json.decode(verdict.definition, type=Definition)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"Expected the definition of {verdict.verdict_id} to be gates, but it is none") from error
    header, new = decode_record(candidate, "candidate")
    name = verdict.baseline.name if verdict.baseline else ""
    old = decode_record(baseline, "baseline", name).evaluated if baseline is not None else None
    if old is not None:
        old = msgspec.structs.replace(old, gone=definition.gone)
    planned = Plan(tuple(range(len(new.cases))), (len(new.cases),), len(new.cases))
    if verdict.looks:
        planned = Plan(order_of(new.digests, new.groups, definition.seed), verdict.looks, verdict.looks[-1])
    critical = [row for row, case in enumerate(new.cases) if case.critical]
    looked = look(definition, planned, lambda rows: new.of(sorted(rows)), critical, old)
    drawn = [new.digests[row] for row in planned.order[: looked.stopped_at]]
    anew = stated_again(verdict, definition, looked, header, (new, old), drawn)
    return Again(verdict, anew, differences(verdict, anew))


def read_verdict(path: Path) -> Verdict:
    """Read a verdict's file.

    Raises:
        ConfigError: when it is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Verdict)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"Expected a verdict in {shown_path(path)}, but it cannot be read: {error}") from error


def _safe(verdict_id: str) -> str:
    if not verdict_id or not all(letter.isalnum() or letter == "-" for letter in verdict_id):
        raise InputError(f"Expected the id of a verdict, as in 20260301T120000Z-1a2b3c4d, but got {verdict_id!r}")
    return verdict_id
