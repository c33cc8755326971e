"""The models of a ``*.rubric.yaml``: what was measured (in files of results, or with its source), and said of them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path

import msgspec

from evalsvc._hints import did_you_mean
from evalsvc._yaml import Section, Value
from evalsvc.governance.rubric.values import HIGHEST, LOWEST, Measured, Model, Opinion
from evalsvc.stats.distributions import t_quantile, two_sided
from evalsvc.stats.mean import ALL_EQUAL

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
MAX_RESULTS_BYTES = 64 << 20


class _Given(msgspec.Struct):
    """A mean in a file of results."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    reason: str = ""


class _Metric(msgspec.Struct):
    metric: str
    candidate: _Given
    confidence: float = 0.95


class _Results(msgspec.Struct):
    """What ``evalsvc gate --format json`` prints, as far as it is read here."""

    metrics: list[_Metric]


def filled_text(value: Value | None) -> str:
    """Return a text that says something, without the space around it."""
    return value.text(pattern=r"(?s).*\S.*", what="text").strip() if value else ""


def read_date(value: Value | None) -> date:
    """Return a day, as in 2026-01-31."""
    text = value.text(what="a date, as in 2026-01-31") if value else ""
    try:
        return date.fromisoformat(text)
    except ValueError:
        if value and text:
            value.expected("a date, as in 2026-01-31")
        return date.min


def read_models(
    root: Section,
    criteria: Sequence[str],
    measured: Collection[str],
    used: Collection[str],
    folder: Path,
    confidence: float,
) -> tuple[Model, ...]:
    """Read all models.

    Args:
        root: of the document.
        criteria: the rubric's.
        measured: those that are scored from a metric.
        used: the metrics that criteria and axes are made from.
        folder: where files of results are looked for.
        confidence: of the intervals that values of single cases get.
    """
    value = root.need("models", "two or more, by name")
    section = value.section() if value else None
    if value is None or section is None:
        return ()
    found = []
    for name, inner in section:
        if not re.fullmatch(NAME, name):
            section.key_problem(name, f"expected a name of letters, digits, `_`, `.` and `-`, but got `{name}`")
        fields = inner.section()
        found.append(
            Model(
                name=name,
                measured=_measured(fields, used, folder, confidence),
                opinions=_opinions(fields.get("scores"), criteria, measured),
                speaks_for=_sentences(fields.get("for")),
                speaks_against=_sentences(fields.get("against")),
            )
        )
    if value.is_mapping and len(found) < 2:
        value.problem(f"expected two models or more, but got {len(found)}")
    return tuple(found)


def _sentences(value: Value | None) -> tuple[str, ...]:
    return tuple(text for text in (value.texts() if value else ()) if text)


def _measured(fields: Section, used: Collection[str], folder: Path, confidence: float) -> dict[str, Measured]:
    file, inline = fields.get("results"), fields.get("metrics")
    found = _from_file(file, folder, confidence) if file else {}
    found = {name: value for name, value in found.items() if name in used}
    section = inline.section() if inline else None
    for name, inner in section or ():
        if section and name not in used:
            hint = did_you_mean(name, used)
            section.key_problem(name, f"no criterion and no axis is made from `{name}`", hint)
        elif section and name in found:
            section.key_problem(name, f"`{name}` is in the file of results as well", "take one of them out")
        found[name] = _inline(inner.section(), confidence)
    return found


def _from_file(value: Value, folder: Path, confidence: float) -> dict[str, Measured]:
    results, shown = _decoded(value, folder)
    if results is None:
        return {}
    others = {one.confidence for one in results.metrics if abs(one.confidence - confidence) > 1e-9}
    if others:
        came = f"{min(others):.12g}, and this file's are at {confidence:.12g}"
        value.problem(f"{shown} has intervals at {came}", "set `confidence` to the same")
    found = {}
    for name, given in ((one.metric, one.candidate) for one in results.metrics):
        if wrong := _wrong_order(given.value, given.low, given.high):
            value.problem(f"{shown}: `{name}`: {wrong}")
        if given.value is not None and given.low is None and given.high is None and given.reason == ALL_EQUAL:
            found[name] = _without_spread(given.value, given.n, shown)
            continue
        reason = given.reason or ("" if given.value is not None else "it has no value")
        found[name] = Measured(
            value=given.value, low=given.low, high=given.high, n=given.n, source=shown, reason=reason
        )
    return found


def _decoded(value: Value, folder: Path) -> tuple[_Results | None, str]:
    shown = value.text(what="a file of results, as `evalsvc gate --format json` prints them")
    if not shown:
        return None, ""
    path = folder / shown
    try:
        if path.stat().st_size <= MAX_RESULTS_BYTES:
            return msgspec.json.decode(path.read_bytes(), type=_Results), shown
        value.problem(f"{shown} holds more than {MAX_RESULTS_BYTES} bytes", "is it a file of results?")
    except OSError as error:
        value.problem(f"{shown} cannot be read: {error.strerror or error}", "the path is relative to this file")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        value.problem(f"{shown} holds no results: {error}", "expected a line that `evalsvc gate --format json` printed")
    return None, shown


def _inline(fields: Section, confidence: float) -> Measured:
    source, n, exact = fields.need("source", "where the number is from"), fields.get("n"), fields.get("exact")
    said = filled_text(source)
    kind = fields.exactly_one(("value", "values"), "one number with its interval, or those of the cases")
    if kind == "values":
        values = fields.get("values")
        return _of_cases([item.number() for item in values.items()] if values else [], said, confidence)
    number = fields.get("value")
    value = number.number(math.nan) if number else math.nan
    cases = n.integer(1, low=1) if n else None
    if exact is not None and exact.flag():
        return Measured(value=value, low=value, high=value, n=cases, source=said)
    hint = "its interval; `exact: true` for a number that is known without one, such as a price"
    low, high = (fields.need(key, hint) if kind else None for key in ("low", "high"))
    made = Measured(
        value=value, low=low.number() if low else value, high=high.number() if high else value, n=cases, source=said
    )
    if number and low and high and (wrong := _wrong_order(made.value, made.low, made.high)):
        number.problem(wrong)
    return made


def _wrong_order(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None or math.isnan(value) or low <= value <= high:
        return ""
    return f"expected low ≤ value ≤ high, but got {low:.12g}, {value:.12g}, {high:.12g}"


def _of_cases(values: Sequence[float], source: str, confidence: float) -> Measured:
    """Return the mean with Student's interval, of no width where all are the same; undefined for one value."""
    n = len(values)
    if n < 2:
        return Measured(n=n, source=source, reason="one case has no interval" if n else "there is no case")
    if min(values) == max(values):
        return _without_spread(values[0], n, source)
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = t_quantile(two_sided(confidence), n - 1) * math.sqrt(variance / n)
    return Measured(value=mean, low=mean - half, high=mean + half, n=n, source=source)


def _without_spread(value: float, n: int | None, source: str) -> Measured:
    """Return what every case had: no case tells of another value, and the report says that it is taken as exact."""
    return Measured(value=value, low=value, high=value, n=n, source=source, note="the same in all: taken as exact")


def _opinions(
    value: Value | None, criteria: Sequence[str], measured: Collection[str]
) -> Mapping[str, tuple[Opinion, ...]]:
    found: dict[str, tuple[Opinion, ...]] = {}
    section = value.section() if value else None
    for name, inner in section or ():
        if section and name not in criteria:
            section.key_problem(name, f"the rubric has no criterion `{name}`", did_you_mean(name, criteria))
        elif section and name in measured:
            hint = "take it out of `measured`, or take the people's scores out"
            section.key_problem(name, f"`{name}` is scored from a metric for all models", hint)
        given = tuple(map(_opinion, inner.items() if inner.is_list else [inner]))
        if inner.is_list and not given:
            inner.problem("expected at least one score, but got none", "leave out the criterion: it is missing then")
        people = [opinion.by for opinion in given]
        for person in sorted({one for one in people if one and people.count(one) > 1}):
            inner.problem(f"scored by {person} twice", "keep the later score")
        if given:
            found[name] = given
    return found


def _opinion(value: Value) -> Opinion:
    fields = value.section()
    by, at = fields.need("by", "who scored"), fields.need("at", "as in 2026-01-31")
    score, evidence = fields.need("score", "1 to 5"), fields.need("evidence", "a link, or what it rests on in words")
    return Opinion(
        filled_text(by),
        read_date(at),
        score.number(LOWEST, low=LOWEST, high=HIGHEST) if score else LOWEST,
        filled_text(evidence),
    )
