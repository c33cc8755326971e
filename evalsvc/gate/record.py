"""A version's answers and scores as a file: one JSON object a line, the same bytes for the same content.

The first line says what the rest is: the version, its cases' digest, and version, signature and scale of every scorer.
Each further line is a case with its answers, scores, the reasons of those that are missing, and statistics of corpus
scores. It is what a baseline is pinned to, and what a verdict is decided from again.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from backports import zstd

from evalsvc._durable import write_whole
from evalsvc._paths import shown_path
from evalsvc.cases import Case
from evalsvc.errors import ConfigError
from evalsvc.gate.evaluated import Evaluated, Floats, MetricScores, Missing
from evalsvc.gate.files import gzipped
from evalsvc.gate.production import Production
from evalsvc.generation import Answer
from evalsvc.generation.reasons import FINISHED
from evalsvc.types import Corpus, Scale, ScorerSpec, Status

FORMAT = 2
_WITHOUT_SOURCES = 1
"""The format that did not keep what a variant was made of: whole for cases that are none."""


class Scorers(msgspec.Struct, frozen=True, omit_defaults=True):
    """What made a metric's numbers: two of them are comparable when version and signature agree."""

    version: int
    signature: str
    scale: Scale
    corpus: Corpus = ""


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first line of a record; with ``production``, it is the only one."""

    record: int
    suite: str
    model: str
    model_version: str
    signature: str
    cases_digest: str
    n_cases: int
    repeats: int
    seed: int
    scorers: Mapping[str, Scorers]
    production: Production | None = None


class _Row(msgspec.Struct, frozen=True, omit_defaults=True):
    case_id: str
    digest: str
    answers: tuple[Answer, ...]
    scores: Mapping[str, Sequence[float | None]]
    missing: Mapping[str, Mapping[str, tuple[Status, str]]] = {}
    statistics: Mapping[str, Sequence[Sequence[float] | None]] = {}
    group: str = ""
    weight: float = 1.0
    segments: Mapping[str, str] = {}
    tags: tuple[str, ...] = ()
    critical: bool = False
    variant: str = ""
    variant_of: str = ""


class Record(NamedTuple):
    """A record as it was read. Its cases have a name and what they are analysed by, but none of their texts."""

    header: Header
    evaluated: Evaluated


def encode_record(evaluated: Evaluated, suite: str, cases_digest: str, seed: int) -> bytes:
    """Return the lines of a version's answers and scores, in the order of the cases' digests."""
    specs = {name: held.spec for name, held in sorted(evaluated.scores.items())}
    header = Header(
        record=FORMAT,
        suite=suite,
        model=evaluated.model,
        model_version=evaluated.model_version,
        signature=evaluated.signature,
        cases_digest=cases_digest,
        n_cases=len(evaluated.cases),
        repeats=max(map(len, evaluated.answers), default=0),
        seed=seed,
        scorers={name: Scorers(s.version, s.signature, s.scale, s.corpus) for name, s in specs.items()},
    )
    encode = msgspec.json.Encoder(order="deterministic").encode
    order = sorted(range(len(evaluated.cases)), key=evaluated.digests.__getitem__)
    columns = {name: _Column(held) for name, held in sorted(evaluated.scores.items())}
    lines = [encode(header), *(encode(_row(evaluated, columns, row)) for row in order)]
    return b"\n".join(lines) + b"\n"


def encode_production(suite: str, production: Production, specs: Mapping[str, ScorerSpec]) -> bytes:
    """Return the line of a baseline that was frozen from production, by the scorers of its metrics."""
    metrics = sorted({one.metric for one in production.estimates})
    header = Header(
        record=FORMAT,
        suite=suite,
        model="production",
        model_version=f"{production.window.start:%Y-%m-%d} to {production.window.end:%Y-%m-%d}",
        signature="",
        cases_digest="",
        n_cases=0,
        repeats=0,
        seed=0,
        scorers={
            name: Scorers(specs[name].version, specs[name].signature, specs[name].scale, specs[name].corpus)
            for name in metrics
        },
        production=production,
    )
    return msgspec.json.Encoder(order="deterministic").encode(header) + b"\n"


class _Column:
    """A metric's scores as rows of plain numbers, made at once."""

    def __init__(self, held: MetricScores) -> None:
        # JSON has no NaN: what is not there is null.
        self.values: list[list[float | None]] = held.values.tolist()
        for row, repeat in np.argwhere(np.isnan(held.values)).tolist():
            self.values[row][repeat] = None
        self.statistics = None if held.statistics is None else _rows_of(held.statistics)
        self.missing: dict[int, dict[str, tuple[Status, str]]] = {}
        for (row, repeat), missing in held.missing.items():
            self.missing.setdefault(row, {})[str(repeat)] = (missing.status, missing.reason)


def _row(evaluated: Evaluated, columns: Mapping[str, _Column], row: int) -> _Row:
    case = evaluated.cases[row]
    return _Row(
        case_id=case.case_id,
        digest=evaluated.digests[row],
        answers=evaluated.answers[row],
        scores={name: column.values[row] for name, column in columns.items()},
        missing={name: column.missing[row] for name, column in columns.items() if row in column.missing},
        statistics={name: column.statistics[row] for name, column in columns.items() if column.statistics is not None},
        group=case.group,
        weight=case.weight,
        segments=case.segments,
        tags=case.tags,
        critical=case.critical,
        variant=case.variant,
        variant_of=case.variant_of,
    )


def _rows_of(statistics: Floats) -> list[list[list[float] | None]]:
    """Return statistics by case and repeat, null where a score has none."""
    rows: list[list[list[float] | None]] = statistics.tolist()
    for row, repeat in np.argwhere(np.isnan(statistics).any(axis=2)).tolist():
        rows[row][repeat] = None
    return rows


def without_texts(content: bytes) -> bytes:
    """Return a record's lines without what a model said: answers keep how they ended, their times, counts and costs.

    The scores are the same, and so is every decision made of them.

    Raises:
        ConfigError: when the content is no record.
    """
    lines = content.splitlines()
    _header(lines, "the record")
    decode, encode = msgspec.json.Decoder(_Row).decode, msgspec.json.Encoder(order="deterministic").encode
    kept = [lines[0]]
    for number, line in enumerate(lines[1:], start=2):
        try:
            row = decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"the record, line {number}: expected a case ({type(error).__name__})") from error
        answers = tuple(_without_text(answer) for answer in row.answers)
        kept.append(encode(msgspec.structs.replace(row, answers=answers)))
    return b"\n".join(kept) + b"\n"


def _without_text(answer: Answer) -> Answer:
    ended = answer.finish_reason
    known = ended if ended is None or ended in FINISHED else "other"
    return msgspec.structs.replace(answer, response="", tool_calls=(), finish_reason=known)


def write_record(path: Path, content: bytes) -> str:
    """Write a record, compressed where the name ends in ``.gz`` or ``.zst``, whole or not at all; return its digest.

    The digest is the SHA-256 of the lines, whatever holds them.
    """
    data = gzipped(content) if path.suffix == ".gz" else zstd.compress(content) if path.suffix == ".zst" else content
    write_whole(path, data)
    return digest_of_record(content)


def digest_of_record(content: bytes) -> str:
    """Return the SHA-256 of a record's lines."""
    return hashlib.sha256(content).hexdigest()


def read_content(path: Path) -> bytes:
    """Return a record's lines.

    Raises:
        ConfigError: when the file cannot be read.
    """
    try:
        data = path.read_bytes()
        if data[:4] == b"\x28\xb5\x2f\xfd":
            return zstd.decompress(data)
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, gzip.BadGzipFile, zlib.error, zstd.ZstdError) as error:
        said = getattr(error, "strerror", "") or str(error)
        raise ConfigError(
            f"Expected answers and scores in {shown_path(path)}, but it cannot be read: {said}"
        ) from error


def decode_record(content: bytes, shown: str, name: str = "") -> Record:
    """Return what a record's lines say.

    Raises:
        ConfigError: on lines that are no record, with the first line that is wrong.
    """
    lines = content.splitlines()
    header = _header(lines, shown)
    rows = []
    decoder = msgspec.json.Decoder(_Row)
    for number, line in enumerate(lines[1:], start=2):
        try:
            rows.append(decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{shown}, line {number}: expected a case with its scores ({type(error).__name__})"
            ) from error
    if header.record == _WITHOUT_SOURCES and any(row.variant for row in rows):
        raise ConfigError(
            f"{shown}: it is of format {_WITHOUT_SOURCES}, which does not say what its variants were made of; run the "
            "suite again, and promote that run where it is a baseline"
        )
    if len(rows) != header.n_cases:
        raise ConfigError(f"{shown}: expected {header.n_cases} cases, but it holds {len(rows)}: it was cut off")
    return Record(header, _evaluated(header, rows, name))


def _header(lines: Sequence[bytes], shown: str) -> Header:
    try:
        header = msgspec.json.decode(lines[0] if lines else b"", type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown}, line 1: expected a record of answers and scores, but it is none") from error
    if header.record not in (_WITHOUT_SOURCES, FORMAT):
        raise ConfigError(
            f"{shown}: expected a record of format {FORMAT}, but got {header.record}, of another release; run the "
            "suite again, and promote that run where it is a baseline"
        )
    return header


def _evaluated(header: Header, rows: Sequence[_Row], name: str) -> Evaluated:
    return Evaluated(
        cases=tuple(_case(row) for row in rows),
        digests=tuple(row.digest for row in rows),
        answers=tuple(row.answers for row in rows),
        scores={metric: _scores(metric, made, rows, header.repeats) for metric, made in header.scorers.items()},
        model=header.model,
        model_version=header.model_version,
        signature=header.signature,
        name=name,
        production=header.production,
    )


def _case(row: _Row) -> Case:
    return Case(
        case_id=row.case_id,
        prompt="-",
        segments=row.segments,
        tags=row.tags,
        weight=row.weight,
        group=row.group,
        critical=row.critical,
        variant=row.variant,
        variant_of=row.variant_of,
    )


def _scores(metric: str, made: Scorers, rows: Sequence[_Row], repeats: int) -> MetricScores:
    blank: list[float | None] = [None] * repeats
    values = np.array([row.scores.get(metric, blank) for row in rows], dtype=np.float64).reshape(len(rows), repeats)
    missing: dict[tuple[int, int], Missing] = {}
    for place, row in enumerate(rows):
        if row.missing:
            for repeat_text, (status, reason) in row.missing.get(metric, {}).items():
                missing[place, int(repeat_text)] = Missing(status, reason)
    spec = ScorerSpec(metric, made.version, made.scale, signature=made.signature, corpus=made.corpus)
    return MetricScores(spec, values, missing, _statistics(metric, rows, repeats))


def _statistics(metric: str, rows: Sequence[_Row], repeats: int) -> Floats | None:
    known = [one for row in rows for one in row.statistics.get(metric, ()) if one is not None]
    if not known:
        return None
    table = np.full((len(rows), repeats, len(known[0])), np.nan)
    for place, row in enumerate(rows):
        for repeat, one in enumerate(row.statistics.get(metric, ())):
            if one is not None:
                table[place, repeat] = one
    return table
