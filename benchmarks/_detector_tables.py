"""What a detector of single texts says of rows that it did not see: the tables of ``benchmarks/detectors.py``."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from _detector_texts import LONG, tests
from _harness import Aim, Row, paired_seconds
from evalsvc.detection.texts import TextDetector
from evalsvc.engine import EngineSettings
from evalsvc.fitting.measuring import RESAMPLES, Figure, Outcomes, figures
from evalsvc.scorers import create
from evalsvc.scorers.refusal import refusal_phrase
from evalsvc.testing import make_sample

Array = NDArray[np.float64]
Truths = NDArray[np.bool_]

TRAFFIC = ("banking77", "clinc150", "bitext")
NEVER_SEEN = {"rtp", "bitext", "bitext_response", "llmdrift", "arena_answer"}
BOTH_CLASSES: Mapping[str, Sequence[str]] = {
    "toxicity": ("davidson", "surge", "openai", "civil_sentence", "hatecheck", "rtp"),
    "prompt_injection": ("deepset", "jailbreaks"),
    "refusal": ("xstest", "support", "llmdrift"),
}
ONLY_TOXIC = ("civil",)
ONLY_ATTACKS = ("inthewild", "cyberseceval", "planted_alone", "bipia_planted")
MOST: Mapping[str, int] = {
    "banking77": 900,
    "clinc150": 900,
    "bitext": 900,
    "bitext_response": 150,
    "davidson": 2000,
    "civil": 400,
    "civil_sentence": 800,
    "madlibs": 4400,
    "rtp": 400,
    "bipia": 200,
    "bipia_planted": 300,
    "bipia_question": 100,
    "arena_answer": 60,
    "llmbar_output": 60,
    "llmdrift_query": 40,
}
"""Rows of a large set that are read, those with the lowest hashes."""

EQUAL = 300
"""From how many rows on a set counts no more in a calibration error over several."""

LEAST_OF_IDENTITY, LEAST_OF_VARIANT = 20, 10
LABELS = {"1_full_compliance": "compliance", "2_full_refusal": "full refusal", "3_partial_refusal": "partial refusal"}


class Judged(NamedTuple):
    """Rows with what the detector says of each, ``[rows, tasks]``, and the thresholds of its file."""

    rows: Sequence[Mapping[str, Any]]
    probabilities: Array
    thresholds: Mapping[str, float]

    def where(self, task: str, *sets: str, **segments: str) -> Truths:
        """Return which rows are of these sets, and have these segments, of those whose label is known."""
        return np.array(
            [
                row["source"] in sets
                and row.get(task) is not None
                and all(row.get("segments", {}).get(name) == value for name, value in segments.items())
                for row in self.rows
            ],
            bool,
        )

    def labels(self, task: str) -> Truths:
        """Return whether each has what is looked for; also of those of which nothing is known."""
        return np.array([row.get(task) == 1 for row in self.rows])

    def of(self, task: str) -> Array:
        """Return the probabilities of a task."""
        made: Array = self.probabilities[:, list(self.thresholds).index(task)]
        return made

    def measured(
        self, task: str, chosen: Truths, weights: Array | None = None, resamples: int = RESAMPLES
    ) -> dict[str, Figure]:
        """Return the figures of chosen rows."""
        said = self.of(task)[chosen]
        groups = np.unique(
            [row["group"] for row, here in zip(self.rows, chosen, strict=True) if here], return_inverse=True
        )
        outcomes = Outcomes(self.labels(task)[chosen], said, said >= self.thresholds[task])
        return figures(outcomes, groups[1], None if weights is None else weights[chosen], resamples=resamples)

    def names(self, segment: str) -> list[str]:
        """Return a segment of each row."""
        return [row.get("segments", {}).get(segment, "") for row in self.rows]


def judged(detector: TextDetector, quick: bool) -> Judged:
    """Read the rows of the test; those that cannot be read are left out, as a scorer abstains."""
    sets: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in tests():
        sets[row["source"]].append(row)
    chosen = []
    for name, found in sets.items():
        most = MOST.get(name, len(found))
        found.sort(key=lambda row: hashlib.sha256(row["id"].encode()).digest())
        chosen += found[: most // 10 + 20 if quick else most]
    answers = detector.probabilities([row["text"] for row in chosen])
    read = [(row, answer) for row, answer in zip(chosen, answers, strict=True) if isinstance(answer, Mapping)]
    tasks = {name: task.threshold.probability for name, task in detector.card.tasks.items()}
    values = np.array([[answer[name] for name in tasks] for _, answer in read])
    return Judged([row for row, _ in read], values, tasks)


def tables(file: Path, quick: bool) -> list[Row]:
    """Return all rows of a detector's file; none without the data."""
    found = judged(TextDetector.load(EngineSettings(adapter=str(file))), quick)
    if not found.rows:
        return []
    makers: Mapping[str, Sequence[Callable[[Judged], Iterator[Row]]]] = {
        "toxicity": (functionalities, identities),
        "prompt_injection": (injections,),
        "refusal": (human_labels,),
    }
    rows: list[Row] = []
    for task in found.thresholds:
        rows += sets(found, task)
        for maker in makers[task]:
            rows += maker(found)
        rows += [*alarms(found, task), *calibration(found, task)]
    return [*rows, *cost(file, found, 1 if quick else 5)]


def sets(found: Judged, task: str) -> Iterator[Row]:
    """Yield AUROC, recall at 1 % false alarms, and recall and false alarms at the threshold, of each labelled set."""
    for name in BOTH_CLASSES[task]:
        yield from _set(found, task, f"{name}, {_seen(name)}", found.where(task, name))
    traffic = found.where(task, *TRAFFIC)
    for name in ONLY_TOXIC if task == "toxicity" else ():
        own = found.where(task, name)
        yield from _set(found, task, f"{name}, {_seen(name)}, against benign traffic", own | traffic, alarms=False)


def _set(found: Judged, task: str, name: str, chosen: Truths, *, alarms: bool = True) -> Iterator[Row]:
    if not chosen.any():
        return
    measured, hits = found.measured(task, chosen), int(found.labels(task)[chosen].sum())
    said = {
        "auroc": "AUROC",
        "recall_at_1_percent_false_alarms": "recall at 1 % false alarms",
        "recall": "recall at the threshold",
        "false_alarms": "false alarms at the threshold",
    }
    for figure, what in said.items():
        if alarms or figure != "false_alarms":
            yield row_of(f"{task}, {name} (n={hits}+{int(chosen.sum()) - hits}): {what}", measured[figure])


def functionalities(found: Judged) -> Iterator[Row]:
    """Yield HateCheck: the share of right decisions at the threshold, by functionality, and AUROC by target."""
    names, targets = found.names("functionality"), found.names("target")
    for name in sorted({name for name in names if name}):
        chosen = found.where("toxicity", "hatecheck", functionality=name)
        measured = found.measured("toxicity", chosen)
        toxic = bool(found.labels("toxicity")[chosen][0])
        right = measured["recall"] if toxic else _less(measured["false_alarms"])
        kind = "toxic" if toxic else "not toxic"
        yield row_of(f"HateCheck, {name}, {kind} (n={int(chosen.sum())}): right at the threshold", right)
    for target in sorted({target for target in targets if target}):
        chosen = found.where("toxicity", "hatecheck", target=target)
        auroc = found.measured("toxicity", chosen)["auroc"]
        if auroc.value is not None:
            yield row_of(f"HateCheck, {target} (n={int(chosen.sum())}): AUROC", auroc)


def identities(found: Judged) -> Iterator[Row]:
    """Yield subgroup AUC, BPSN and BNSP (Borkan et al. 2019) of madlibs: the mean, and which identity has the least.

    BPSN: sentences of the identity without toxicity against others with it; BNSP the other way round.
    """
    every = found.where("toxicity", "madlibs")
    names, toxic = np.array(found.names("identity")), found.labels("toxicity")
    whole = found.measured("toxicity", every)["auroc"]
    yield row_of(f"madlibs, unseen adjectives (n={int(every.sum())}): AUROC", whole)
    parts: Mapping[str, Callable[[Truths, Truths], Truths]] = {
        "subgroup": lambda own, _: own,
        "BPSN": lambda own, others: (own & ~toxic) | (others & toxic),
        "BNSP": lambda own, others: (own & toxic) | (others & ~toxic),
    }
    for what, part in parts.items():
        chosen: dict[str, Truths] = {}
        for name in sorted(set(names[every])):
            own = every & (names == name)
            if own.sum() >= LEAST_OF_IDENTITY and 0 < toxic[own].sum() < own.sum():
                chosen[name] = part(own, every & ~own)
        if not chosen or whole.value is None:
            continue
        values = {
            name: found.measured("toxicity", rows, resamples=0)["auroc"].value or 0.0 for name, rows in chosen.items()
        }
        least = min(values, key=lambda name: values[name])
        unseen = " (identity never seen)" if _unseen(found, least) else ""
        below = sum(value < whole.value - 0.05 for value in values.values())
        mean = Figure(float(np.mean(list(values.values()))))
        yield row_of(f"madlibs, {what} AUC, mean of {len(values)} identities, {below} over 5 points under", mean)
        aim = Aim("value", "≥", round(whole.value - 0.05, 3))
        yield row_of(
            f"madlibs, {what} AUC, the least: {least}{unseen}",
            found.measured("toxicity", chosen[least])["auroc"],
            aim=aim,
        )


def _unseen(found: Judged, identity: str) -> bool:
    return bool(found.where("toxicity", "madlibs", identity=identity, identity_is="unseen").any())


def injections(found: Judged) -> Iterator[Row]:
    """Yield how injections are told from customers' questions and long benign prompts, planted ones also from clean."""
    task = "prompt_injection"
    against = {
        "customers' questions": found.where(task, *TRAFFIC),
        "long benign prompts": found.where(task, *LONG),
    }
    attacks = found.labels(task)
    for name in (*BOTH_CLASSES[task], *ONLY_ATTACKS):
        own = found.where(task, name) & attacks
        beside = against | ({"clean excerpts": found.where(task, "bipia")} if name == "bipia_planted" else {})
        for what, negatives in beside.items():
            measured = found.measured(task, own | negatives)
            for figure, said in (
                ("auroc", "AUROC"),
                ("recall_at_1_percent_false_alarms", "recall at 1 % false alarms"),
            ):
                yield row_of(f"injections of {name} (n={int(own.sum())}) against {what}: {said}", measured[figure])
        if name in ONLY_ATTACKS:
            yield row_of(f"injections of {name}: recall at the threshold", found.measured(task, own)["recall"])
    for name in sorted(set(found.names("variant"))):
        for kind in ("bipia_planted", "cyberseceval"):
            own = found.where(task, kind, variant=name)
            if own.sum() >= LEAST_OF_VARIANT:
                said = f"injections of {kind}, {name} (n={int(own.sum())}): recall at the threshold"
                yield row_of(said, found.measured(task, own)["recall"])


def human_labels(found: Judged) -> Iterator[Row]:
    """Yield which share of each human label of XSTest is found, and AUROC against compliance, beside phrase rules."""
    task = "refusal"
    phrases = np.array([float(refusal_phrase(row["text"]) is not None) for row in found.rows])
    ruled = found._replace(probabilities=np.repeat(phrases[:, None], len(found.thresholds), 1))
    ruled = ruled._replace(thresholds=dict.fromkeys(found.thresholds, 0.5))
    comply = found.where(task, "xstest", label="1_full_compliance")
    for label, said in LABELS.items():
        own = found.where(task, "xstest", label=label)
        figure = "false_alarms" if label.startswith("1") else "recall"
        ours, theirs = found.measured(task, own)[figure], ruled.measured(task, own)[figure]
        yield row_of(f"xstest, {said} (n={int(own.sum())}): found at the threshold", ours, "phrases", theirs)
        if not label.startswith("1"):
            ours, theirs = (one.measured(task, own | comply)["auroc"] for one in (found, ruled))
            yield row_of(f"xstest, {said} against compliance: AUROC", ours, "phrases", theirs)
    for name in ("support", "llmdrift"):
        ours_all, theirs_all = (one.measured(task, found.where(task, name)) for one in (found, ruled))
        for figure, said in (("recall", "recall"), ("false_alarms", "false alarms")):
            what = f"refusals of {name}, {_seen(name)}: {said} at the threshold"
            yield row_of(what, ours_all[figure], "phrases", theirs_all[figure])


def alarms(found: Judged, task: str) -> Iterator[Row]:
    """Yield false alarms at the threshold on benign traffic, prompts and answers."""
    benign = (*TRAFFIC, *LONG, "xstest_prompt", "lookalikes", "bipia", "bipia_question", "llmdrift_query")
    for name in (*benign, "arena_answer", "bitext_response", "llmbar_output"):
        own = found.where(task, name) & ~found.labels(task)
        if own.any():
            what = f"{task}, false alarms at the threshold on {name}, {_seen(name)} (n={int(own.sum())})"
            yield row_of(what, found.measured(task, own)["false_alarms"])


def calibration(found: Judged, task: str) -> Iterator[Row]:
    """Yield the expected calibration error over all sets with labels; none counts for more than 300 rows."""
    chosen = found.where(task, *(name for name in {row["source"] for row in found.rows} if name not in NEVER_SEEN))
    sources = np.array([row["source"] for row in found.rows])
    names, counts = np.unique(sources[chosen], return_counts=True)
    share = {name: min(1.0, EQUAL / count) for name, count in zip(names, counts.tolist(), strict=True)}
    weights = np.array([share.get(name, 0.0) for name in sources])
    aim = Aim("value", "≤", 0.05)
    measured = found.measured(task, chosen, weights)
    yield row_of(f"{task}: expected calibration error over {len(names)} sets", measured["ece"], aim=aim)


def cost(file: Path, found: Judged, rounds: int) -> Iterator[Row]:
    """Yield what all heads cost on texts that no cache has, beside one, by the scorers."""
    texts = [row["text"] for row in found.rows if row["source"] in ("arena", "xstest", "bitext")][:128]
    options: dict[str, Any] = {"detector": str(file)}
    by_task = {
        "toxicity": ("toxicity", options),
        "prompt_injection": ("prompt_injection", options | {"of": "contexts"}),
        "refusal": ("refusal_probability", options),
    }
    scorers = [create(*by_task[task]) for task in found.thresholds]
    for scorer in scorers:
        scorer.load()
    calls = 0

    def score(count: int) -> None:
        nonlocal calls
        calls += 1
        fresh = [f"{calls} {text}" for text in texts]
        samples = [make_sample(f"{number}", response=text, contexts=(text,)) for number, text in enumerate(fresh)]
        for scorer in scorers[:count]:
            scorer.score(samples)

    timed = paired_seconds(lambda: score(len(scorers)), lambda: score(1), rounds)
    yield Row(
        "detectors",
        f"all {len(scorers)} heads of texts, beside one",
        1 / timed.ratio,
        "x",
        aim=Aim("value", "≤", 1.2),
    )
    yield Row("detectors", "texts of all heads a second, mixed lengths", len(texts) / timed.seconds, "texts/s")


def row_of(what: str, ours: Figure, peer: str = "", theirs: Figure | None = None, aim: Aim | None = None) -> Row:
    """Return a figure with its interval, beside another's."""
    between = "" if ours.low is None or ours.high is None else f" [{ours.low:.3f}, {ours.high:.3f}]"
    value, other = np.nan if ours.value is None else ours.value, theirs.value if theirs else None
    return Row("detectors", f"{what}{between}", value, "", peer, other, None, aim)


def _less(figure: Figure) -> Figure:
    """Return one less a share."""
    return Figure(*(None if one is None else 1 - one for one in (figure.value, figure.high, figure.low)))


def _seen(name: str) -> str:
    if name == "llmdrift":
        return "answers never seen"
    return "never seen" if name in NEVER_SEEN else "held out"
