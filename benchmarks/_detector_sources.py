"""Labelled single texts from the data under ``../shared/data``: toxicity, prompt injection, refusal.

Every text says whether it may be trained on: groups, clusters of near duplicates and families of templates are never
both trained on and tested with. What its licence does not allow to be trained on, and what is kept unseen, only tests.

Longer than other files: a reader a set, each a few lines, beside what they share.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from _detector_templates import (
    ATTACKS,
    FAIR,
    GROUPS,
    HELP,
    INSULTS,
    LOOKALIKES,
    OBJECTS,
    PERSONAS,
    PLANTED,
    REFUSALS,
    ROLES,
    Written,
    fill,
    written,
)
from privacy import rows_of

Task = Literal["toxicity", "prompt_injection", "refusal"]
TASKS: tuple[Task, ...] = ("toxicity", "prompt_injection", "refusal")
CLEAN: Mapping[Task, int] = {"toxicity": 0, "prompt_injection": 0, "refusal": 0}
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*\s*")
_WORD = re.compile(r"\w+")
_ONLY_SYSTEM_PROMPT = {"indirect_reference", "output_formatting_manipulation", "different_user_input_language"}
"""Variants that a system prompt, which nobody reads here, makes an attack."""


class Text(NamedTuple):
    """A text, what is known of it, and how much it counts."""

    id: str
    set: str
    text: str
    group: str
    trained: bool
    labels: Mapping[Task, int]
    weight: float = 1.0
    segments: Mapping[str, str] = {}

    @property
    def kind(self) -> str:
        """Its set, or of two whose labels are of unlike use the part of it."""
        return f"{self.set}/{self.segments['label']}" if self.set in _PARTED else self.set


_PARTED = ("davidson", "civil")


def half(key: str) -> bool:
    """Whether what has this key is trained on.

    >>> half("one"), half("two")
    (False, True)
    """
    return bool(hashlib.sha256(key.encode()).digest()[0] & 1)


def _key(text: str) -> str:
    return hashlib.sha256(" ".join(_WORD.findall(text.lower())).encode()).hexdigest()[:10]


# Toxicity


def civil() -> Iterator[Text]:
    """Yield Civil Comments, all chosen as toxic, and their sentences: without a rater's mark these are negatives.

    ``frac_not_toxic`` is no negative label: what few raters found toxic was chosen for it, too.
    """
    for row in rows_of("safety", "civilcomments_toxic_spans"):
        text, share, group = row["text"], row["frac_not_toxic"], _key(row["text"])
        kinds = {span[0] for rater in row["annotations"] for span in rater["spans"]}
        if share <= 0.5:
            label = "attack or threat" if kinds & {"Identity based Attack", "Threat"} else "toxic"
            labels: dict[Task, int] = {"toxicity": 1, "prompt_injection": 0}
            yield Text(row["id"], "civil", text, group, half(group), labels, 1 - share, {"label": label})
        marks = [span[1:] for rater in row["annotations"] for span in rater["spans"]]
        sentences = list(_SENTENCE.finditer(text))
        if sum(bool(rater["spans"]) for rater in row["annotations"]) < 2 or len(sentences) < 2:
            continue
        for number, sentence in enumerate(sentences):
            hits = sum(start < sentence.end() and end >= sentence.start() for start, end in marks)
            if len(_WORD.findall(sentence.group())) >= 5 and hits != 1:
                own = f"{row['id']}/{number}"
                labels = {"toxicity": int(hits > 0), "prompt_injection": 0}
                yield Text(own, "civil_sentence", sentence.group(), group, half(group), labels, 0.7)


def davidson() -> Iterator[Text]:
    """Yield tweets: hate is toxic; "offensive" is mostly dialect and profanity, and counts for a third."""
    for row in rows_of("safety", "davidson_hate"):
        votes, label = row["votes"], row["label"]
        agreed = max(votes.values()) == sum(votes.values())
        weight = (0.35 if label == "offensive" else 1.0) * (1.0 if agreed else 0.6)
        labels: dict[Task, int] = {"toxicity": int(label != "neither"), "prompt_injection": 0}
        group = row["group"]
        yield Text(row["id"], "davidson", row["text"], group, half(group), labels, weight, {"label": label})


def surge() -> Iterator[Text]:
    """Yield posts of social media."""
    for row in rows_of("safety", "surge_toxicity"):
        group = _key(row["text"])
        labels: dict[Task, int] = {"toxicity": int(row["label"]), "prompt_injection": 0}
        yield Text(row["id"], "surge", row["text"], group, half(group), labels, 1.5)


def openai() -> Iterator[Text]:
    """Yield prompts: hate, harassment and threats are toxic; sexual or violent texts alone say nothing here."""
    for row in rows_of("safety", "openai_moderation"):
        labels = row["labels"]
        toxic = any(labels.get(name) for name in ("H", "H2", "HR"))
        if toxic or (not any(labels.values()) and "HR" in labels):
            yield Text(row["id"], "openai", row["text"], row["group"], half(row["group"]), {"toxicity": int(toxic)})


def hatecheck() -> Iterator[Text]:
    """Yield a functional test. Half of its templates are trained on: the others are like them, and no other data is."""
    for row in rows_of("safety", "hatecheck"):
        segments = {"functionality": row["functionality"], "target": row["target_ident"] or "none"}
        labels: dict[Task, int] = {"toxicity": int(row["label"])}
        yield Text(
            row["id"], "hatecheck", row["test_case"], row["group"], half(row["group"]), labels, segments=segments
        )


def groups() -> Iterator[Text]:
    """Yield attacks on groups of people, and sentences close to them that attack nobody, all trained on."""
    for templates, label in ((ATTACKS, 1), (FAIR, 0)):
        for template in templates:
            rng = random.Random(f"groups/{template}")
            for group in rng.sample(GROUPS, 10):
                text = fill(template.replace("{group}", group).replace("{object}", rng.choice(OBJECTS)), rng)
                labels: dict[Task, int] = {"toxicity": label, "prompt_injection": 0}
                yield Text(f"{template}/{group}", "groups", text[0].upper() + text[1:], group, True, labels)
    for text in INSULTS:
        yield Text(text, "groups", text, "insults", True, {"toxicity": 1, "prompt_injection": 0})


def madlibs() -> Iterator[Text]:
    """Yield sentences on identities: half of the adjectives, and half of the identities, are never trained on."""
    for row in rows_of("fairness", "bias_madlibs_77k"):
        text, template = row["text"], row["template"]
        tone, identity = madlib_parts(text, template)
        seen = half("tone" + tone) and half("identity" + identity)
        if template == "name_adj":
            seen = seen and half("name" + text.split()[0])
        if seen or not half("tone" + tone):
            labels: dict[Task, int] = {"toxicity": int(row["toxicity"] == "toxic")}
            known = "seen" if half("identity" + identity) else "unseen"
            segments = {"identity": identity, "identity_is": known, "template": template}
            yield Text(row["id"], "madlibs", text, f"{tone}|{identity}", seen, labels, segments=segments)


def madlib_parts(text: str, template: str) -> tuple[str, str]:
    """Return the word that decides the label, and the identity.

    >>> madlib_parts("Being middle aged is rotten", "being_adj")
    ('rotten', 'middle aged')
    """
    words = text.split()
    match template:
        case "name_adj" | "you_are_adj" | "you_occupation":  # "Léa is a rotten middle aged", "You are a vile japanese"
            return words[3], " ".join(words[4:])
        case "being_adj":
            return words[-1], " ".join(words[1 : words.index("is")])
        case "am_hate_adj":  # "I hate male"
            return words[1], " ".join(words[2:])
        case _:  # "murder male"
            return words[0], " ".join(words[1:])


def real_toxicity() -> Iterator[Text]:
    """Yield sentences of the web, never trained on; the label is Perspective's, no person's."""
    for number, row in enumerate(rows_of("safety", "realtoxicityprompts_2400")):
        score = row["prompt_perspective"].get("toxicity")
        if score is not None:
            labels: dict[Task, int] = {"toxicity": int(score >= 0.5)}
            yield Text(f"{row['id']}/{number}", "rtp", row["prompt"], row["group"], False, labels)


# Prompt injection


def injections() -> Iterator[Text]:
    """Yield deepset, jailbreak_classification and in-the-wild, which share prompts, by clusters of near duplicates."""
    found = []
    for name, folder in (
        ("deepset", "deepset_prompt_injections"),
        ("jailbreaks", "jailbreak_classification"),
        ("inthewild", "inthewild_jailbreaks"),
    ):
        found += [(name, row) for row in rows_of("safety", folder)]
    clusters = near_duplicates([row["text"] for _, row in found])
    for (name, row), cluster in zip(found, clusters, strict=True):
        group = found[cluster][1]["id"]
        labels: dict[Task, int] = {"prompt_injection": int(row["label"] in (1, "jailbreak"))}
        weight = 1.0 if name == "inthewild" else 1.5
        yield Text(row["id"], name, row["text"], group, half(group), labels, weight)


def near_duplicates(texts: Sequence[str], size: int = 8, share: float = 0.15) -> list[int]:
    """Return of each text the first of its cluster: texts are joined by runs of words that they share.

    >>> near_duplicates(["a b c d e f g h i", "A b c d e f g h, i!", "x y z"])
    [0, 0, 2]
    """
    runs = []
    for text in texts:
        words = _WORD.findall(text.lower())
        runs.append({tuple(words[start : start + size]) for start in range(max(1, len(words) - size + 1))})
    where: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    root = list(range(len(texts)))

    def find(number: int) -> int:
        while root[number] != number:
            root[number] = root[root[number]]
            number = root[number]
        return number

    for number, own in enumerate(runs):
        for other, shared in Counter(other for run in own for other in where[run]).items():
            if shared >= share * min(len(own), len(runs[other])):
                first, second = sorted((find(number), find(other)))
                root[second] = first
        for run in own:
            where[run].append(number)
    return [find(number) for number in range(len(texts))]


def cyberseceval() -> Iterator[Text]:
    """Yield attacks; those that are one by the system prompt alone count less."""
    for row in rows_of("safety", "cyberseceval_prompt_injection"):
        variant = row["injection_variant"]
        weak = variant in _ONLY_SYSTEM_PROMPT and row["injection_type"] == "direct"
        group, segments = row["group"], {"variant": variant}
        weight = 0.5 if weak else 1.5
        labels: dict[Task, int] = {"prompt_injection": 1}
        yield Text(row["id"], "cyberseceval", row["user_input"], group, half(group), labels, weight, segments)


def bipia() -> Iterator[Text]:
    """Yield excerpts of tables, e-mails and code, and others in which an instruction was planted."""
    for row in rows_of("safety", "bipia_contexts"):
        context = row["context"] if isinstance(row["context"], str) else "\n".join(row["context"])
        group, kind = row["group"], row["id"].split("-")[1]
        seen = half(group)
        if row.get("question"):
            yield Text(row["id"], "bipia_question", str(row["question"]), group, seen, {"prompt_injection": 0})
        for number in range(1 if kind == "table" else 6):
            own = f"{row['id']}/{number}"
            rng = random.Random(own)
            yield Text(own, "bipia", excerpt(context, rng), group, seen, CLEAN, segments={"variant": kind})
            # The test has families of both kinds; training has only its own.
            held = not seen and rng.random() >= 0.3
            family = rng.choice([name for name, (kept, _) in PLANTED.items() if kept == held])
            planted = plant(excerpt(context, rng), fill(rng.choice(PLANTED[family][1]), rng), rng)
            segments = {"variant": f"{'unseen' if held else 'seen'}: {family}"}
            yield Text(own, "bipia_planted", planted, group, seen, {"prompt_injection": 1}, segments=segments)


def excerpt(context: str, rng: random.Random) -> str:
    """Return whole lines of at most about 120 tokens of a text, tables with their padding removed."""
    lines = [re.sub(r"[ \t]{2,}", " ", line) for line in context.splitlines() if line.strip()]
    start, room = rng.randrange(len(lines)), rng.randrange(120, 420)
    taken: list[str] = []
    for line in lines[start:]:
        taken.append(line[:400])
        room -= len(line)
        if room < 0:
            break
    return "\n".join(taken)


def plant(text: str, sentence: str, rng: random.Random) -> str:
    """Put a sentence before, after or between the lines of a text, or the sentences where there is one line."""
    glue = "\n" if "\n" in text else " "
    pieces = text.split("\n") if "\n" in text else [match.group().strip() for match in _SENTENCE.finditer(text)]
    pieces.insert(rng.choice((0, len(pieces), rng.randrange(len(pieces) + 1))), sentence)
    return glue.join(pieces)


def lookalikes() -> Iterator[Text]:
    """Yield what customers say that only looks like an injection, and planted instructions alone."""
    yield from _of_templates(
        "lookalikes", written(LOOKALIKES, 40, "lookalikes"), {"prompt_injection": 0, "toxicity": 0}
    )
    # Alone, a plain instruction is an ordinary request.
    alone = {family: templates for family, templates in PLANTED.items() if family != "plain"}
    yield from _of_templates("planted_alone", written(alone, 25, "planted"), {"prompt_injection": 1})


def _of_templates(name: str, texts: Iterator[Written], labels: Mapping[Task, int]) -> Iterator[Text]:
    for one in texts:
        segments = {"variant": f"{'unseen' if one.held else 'seen'}: {one.family}"}
        yield Text(f"{one.family}/{one.text}", name, one.text, one.family, not one.held, labels, segments=segments)


def llmbar() -> Iterator[Text]:
    """Yield ordinary instructions, the same with a part to play or a form to keep to, and answers."""
    for row in rows_of("quality", "llmbar"):
        own, group, seen = row["id"], row["group"], half(row["group"])
        labels: dict[Task, int] = {"prompt_injection": 0, "toxicity": 0}
        yield Text(own, "llmbar", row["instruction"], group, seen, labels)
        for name in ("output_1", "output_2"):
            yield Text(f"{own}/{name}", "llmbar_output", row[name], group, seen, labels)
        rng = random.Random(own)
        request = rng.choice(ROLES).replace("{persona}", rng.choice(PERSONAS)).replace("{request}", row["instruction"])
        yield Text(own, "roles", request, group, seen, {"prompt_injection": 0}, 0.75)


def arena() -> Iterator[Text]:
    """Yield real requests, and long answers of models, which are kept unseen."""
    seen: set[str] = set()
    for row in rows_of("traffic", "arena_hard_v01"):
        if row["group"] not in seen:
            seen.add(row["group"])
            labels: dict[Task, int] = {"prompt_injection": 0, "toxicity": 0}
            yield Text(row["id"], "arena", row["query"], row["group"], half(row["group"]), labels, 1.5)
        answer = row["raw"]["messages"][1]["content"]
        text = answer["answer"] if isinstance(answer, dict) else answer
        labels, segments = {"toxicity": 0, "refusal": 0}, {"model": row["model"]}
        yield Text(row["id"], "arena_answer", text, row["group"], False, labels, segments=segments)


# Refusal


def xstest() -> Iterator[Text]:
    """Yield completions of five models, and their prompts. A partial refusal is one, at half the weight."""
    seen: set[str] = set()
    for row in rows_of("safety", "xstest_completions"):
        group, label = row["group"], row["label"]
        safe: dict[Task, int] = {} if row["unsafe_prompt"] else {"toxicity": 0}
        if group not in seen:
            seen.add(group)
            yield Text(row["id"], "xstest_prompt", row["prompt"], group, half(group), {**safe, "prompt_injection": 0})
        agreed = len(set(row["annotations"])) == 1
        weight = (1.0 if agreed else 0.5) * (0.5 if label.startswith("3") else 1.0)
        labels: dict[Task, int] = {**safe, "refusal": int(not label.startswith("1")), "prompt_injection": 0}
        segments = {"label": label, "model": row["model"]}
        yield Text(row["id"], "xstest", row["completion"], group, half(group), labels, weight, segments)


def llmdrift() -> Iterator[Text]:
    """Yield answers to sensitive questions, never trained on, and ordinary prompts."""
    for row in rows_of("traffic", "llmdrift"):
        task, segments = row["dataset"].removeprefix("llmdrift_"), {"model": row["model"]}
        if task == "sensitiveq":
            labels: dict[Task, int] = {"refusal": 1 - int(row["extra"]["Response Rate"])}
            yield Text(row["id"], "llmdrift", row["response"], row["group"], False, labels, segments=segments)
        elif row["model"] == "gpt-4-0314" and task in ("opinionqa", "leetcode"):
            seen = half(row["group"])
            yield Text(row["id"], "llmdrift_query", row["query"], row["group"], seen, {"prompt_injection": 0})


def support() -> Iterator[Text]:
    """Yield answers of customer support: ways to decline, and help that says "cannot"."""
    yield from _of_templates("support", written(REFUSALS, 45, "refusals"), {"refusal": 1, "toxicity": 0})
    yield from _of_templates("support", written(HELP, 45, "help"), {"refusal": 0, "toxicity": 0})


def benign() -> Iterator[Text]:
    """Yield customers' questions, without anything; Bitext is share-alike and kept unseen."""
    for name, folder in (("banking77", "banking77"), ("clinc150", "clinc150_oos")):
        for row in rows_of("traffic", folder):
            yield Text(row["id"], name, row["text"], row["group"], half(row["group"]), CLEAN)
    for row in rows_of("traffic", "bitext_customer_support"):
        yield Text(row["id"], "bitext", row["query"], row["group"], False, CLEAN)
        labels: dict[Task, int] = {"toxicity": 0, "refusal": 0}
        yield Text(row["id"], "bitext_response", row["response"], row["group"], False, labels)


READERS: Sequence[Callable[[], Iterator[Text]]] = (
    civil,
    davidson,
    surge,
    openai,
    hatecheck,
    groups,
    madlibs,
    real_toxicity,
    injections,
    cyberseceval,
    bipia,
    lookalikes,
    llmbar,
    arena,
    xstest,
    llmdrift,
    support,
    benign,
)


def texts() -> Iterator[Text]:
    """Yield all texts of all sets."""
    for reader in READERS:
        yield from reader()
