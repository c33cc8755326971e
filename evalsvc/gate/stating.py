"""What a verdict states beside its gates' decisions: made by a run, and made again of its records in the same way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from evalsvc.gate.deciding import overall
from evalsvc.gate.evaluated import Evaluated, gone_from, places_in
from evalsvc.gate.looking import Definition, Looked
from evalsvc.gate.record import Header
from evalsvc.gate.suite import digest_of_definition
from evalsvc.gate.summary import directions_of, slices, summarise
from evalsvc.gate.unasked import LIMITS, mostly_failed
from evalsvc.gate.values import COMPARED, scale_for
from evalsvc.types import Scale
from evalsvc.verdicts import GateResult, MetricSummary, Outcome, Party, Slice, Verdict


class Stated(NamedTuple):
    """Every metric under both versions, and how those that gates compare moved by segment."""

    metrics: tuple[MetricSummary, ...]
    slices: tuple[Slice, ...]


def state(definition: Definition, candidate: Evaluated, baseline: Evaluated | None, drawn: Sequence[str]) -> Stated:
    """Return the metrics over the cases whose digests are ``drawn``.

    A run that stopped early asked every critical case beside a random part: the part alone is like the set.
    """
    if len(drawn) < len(candidate.cases):
        wanted = set(drawn)
        candidate = candidate.of([row for row, digest in enumerate(candidate.digests) if digest in wanted])
    found = slices(candidate, baseline, _compared(definition, candidate), definition.seed) if baseline else ()
    metrics = summarise(candidate, baseline, definition.seed, directions_of(definition.gates))
    return Stated(metrics, found)


def _compared(definition: Definition, candidate: Evaluated) -> dict[str, Scale]:
    """Return the metrics that gates compare, each with the direction that its gate says is better."""
    gates = [gate for gate in definition.gates if isinstance(gate.ask, COMPARED)]
    return {gate.metric: scale_for(gate, candidate.scores[gate.metric].spec.scale) for gate in gates}


def party_of(evaluated: Evaluated, digest: str) -> Party:
    """Return what a version is called, and what its answers came to."""
    answered, failed = evaluated.counts
    return Party(
        model=evaluated.model,
        model_version=evaluated.model_version,
        signature=evaluated.signature,
        digest=digest,
        name=evaluated.name,
        answered=answered,
        failed=failed,
        cost_usd=evaluated.cost_usd,
    )


_NO_ANSWER = "requests have no answer"


class Decided(NamedTuple):
    """What a verdict decides; of an ERROR, what happened and what to do."""

    decision: Outcome
    error: str = ""


def decided(results: Sequence[GateResult], candidate: Evaluated, ended: str = "") -> Decided:
    """Return what the gates decide, or an error where more than half of the requests have no answer.

    A gate may well pass on the few that there are, and a critical one fail, but who answers so seldom was not measured.

    Args:
        results: what each gate found.
        candidate: what was answered.
        ended: which limit ended the run and what to do, where one did (:func:`evalsvc.gate.unasked.ended_by`).
    """
    answered, failed = candidate.counts
    if failed <= answered:
        return Decided(overall(results))
    said = f"{failed:,} of {failed + answered:,} {_NO_ANSWER}"
    what = ended
    if not ended or mostly_failed(candidate):
        said += f": {_most_frequent(candidate, but=LIMITS if ended else ())}"
        what = "see that the model answers, and run it again" + (f"; {ended}" if ended else "")
    return Decided("ERROR", f"{said}; that is no verdict about the version: {what}")


def scorers_of(candidate: Evaluated) -> dict[str, str]:
    """Return what scored each metric, as ``version|signature``."""
    return {name: f"{held.spec.version}|{held.spec.signature}" for name, held in candidate.scores.items()}


def notes_of(candidate: Evaluated, baseline: Evaluated | None, total: int, stopped: int) -> list[str]:
    """Return what to know beside the gates, first what somebody has to act on."""
    notes = []
    failed = candidate.counts[1]
    if failed:
        have = "request has" if failed == 1 else "requests have"
        notes.append(f"{failed:,} {have} no answer: {_most_frequent(candidate)}")
    if baseline is not None and baseline.production is None:
        alone = int((places_in(baseline, candidate) < 0).sum())
        if alone:
            have, was, it_is, it = ("is", "was", "it is", "it") if alone == 1 else ("are", "were", "they are", "them")
            notes.append(
                f"{alone:,} of {len(candidate.cases):,} cases {have} not in the baseline, or {was} changed since: "
                f"{it_is} not compared; promote a run that has {it}"
            )
        gone = gone_from(baseline, candidate.digests) if baseline.gone is None else baseline.gone
        if gone:
            have, of_them = ("is", "it") if gone == 1 else ("are", "them")
            notes.append(
                f"{gone:,} of the baseline's {len(baseline.cases):,} cases {have} not in the set any more: what this "
                f"version makes of {of_them} is not seen"
            )
    if stopped < total:
        beside = len(candidate.cases) - stopped
        without = f"; metrics and segments leave out the {beside:,} critical cases asked beside them" if beside else ""
        notes.append(f"stopped after {stopped:,} of {total:,} cases, when the answer was clear{without}")
    return notes


def _most_frequent(candidate: Evaluated, most: int = 3, but: tuple[str, ...] = ()) -> str:
    """Return why there is no answer, the most frequent reasons first; ``but`` are the beginnings of those left out."""
    found = [(reason, count) for reason, count in _reasons(candidate).items() if not (but and reason.startswith(but))]
    ranked = sorted(found, key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} ({count:,})" for reason, count in ranked[:most])


def _reasons(candidate: Evaluated) -> Counter[str]:
    return Counter(answer.reason for row in candidate.answers for answer in row if answer.status == "failed")


def stated_again(
    verdict: Verdict,
    definition: Definition,
    looked: Looked,
    header: Header,
    versions: tuple[Evaluated, Evaluated | None],
    drawn: Sequence[str],
) -> Verdict:
    """Return a verdict with all that its records say in place of what it says.

    Of the rest it keeps: when and by which release it was decided, what file the cases were in, what the baseline is
    called, the digests, which whoever read the records has checked, and notes that are about more than the records.
    """
    candidate, baseline = versions
    outcome = decided(looked.results, candidate)
    stated = state(definition, candidate, baseline, drawn)
    total = verdict.looks[-1] if verdict.looks else header.n_cases
    notes = [note for note in notes_of(candidate, baseline, total, looked.stopped_at) if note not in verdict.notes]
    places = {one.metric: place for place, one in enumerate(verdict.metrics)}
    return msgspec.structs.replace(
        verdict,
        verdict_id=id_of(f"{verdict.decided_at:%Y%m%dT%H%M%SZ}", verdict.candidate.digest),
        suite=header.suite,
        decision=outcome.decision,
        error=_error_again(verdict.error, outcome.error),
        gates=looked.results,
        metrics=tuple(sorted(stated.metrics, key=lambda one: places.get(one.metric, len(places)))),
        slices=stated.slices,
        candidate=_again(verdict.candidate, candidate),
        baseline=_again(verdict.baseline, baseline) if verdict.baseline and baseline else None,
        cases_digest=header.cases_digest,
        n_cases=total,
        stopped_at=looked.stopped_at,
        repeats=header.repeats,
        seed=header.seed,
        level=definition.level,
        scorers=scorers_of(candidate),
        gates_digest=digest_of_definition(verdict.definition),
        notes=(*notes, *verdict.notes),
    )


def id_of(moment: str, digest: str) -> str:
    """Return the id of a verdict that was decided at a moment about a candidate of this digest."""
    return f"{moment}-{digest[:8]}"


def _error_again(kept: str, found: str) -> str:
    """Return what was said where it counts what the records do: which limit ended a run, and why, they do not hold."""
    counted = found[: found.find(_NO_ANSWER) + len(_NO_ANSWER)]
    return kept if found and kept.startswith(counted) else found


def _again(kept: Party, evaluated: Evaluated) -> Party:
    return msgspec.structs.replace(party_of(evaluated, kept.digest), name=kept.name, stored=kept.stored)


def differences(one: Verdict, other: Verdict) -> tuple[str, ...]:
    """Return the fields in which two verdicts differ, as ``candidate.cost_usd`` or ``metrics (rouge_l)``."""
    return tuple(_differing(one, other))


def _differing(one: Verdict, other: Verdict) -> Iterator[str]:
    for field in Verdict.__struct_fields__:
        old, new = getattr(one, field), getattr(other, field)
        if old == new:
            continue
        if isinstance(old, Party) and isinstance(new, Party):
            yield from (
                f"{field}.{name}" for name in Party.__struct_fields__ if getattr(old, name) != getattr(new, name)
            )
        elif field in ("gates", "metrics"):
            yield f"{field} ({'; '.join(_names(old, new, 'gate' if field == 'gates' else 'metric'))})"
        else:
            yield field


def _names(old: Sequence[object], new: Sequence[object], key: str) -> list[str]:
    before, after = ({getattr(one, key): one for one in side} for side in (old, new))
    return [name for name in {**before, **after} if before.get(name) != after.get(name)] or ["their order"]
