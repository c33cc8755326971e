"""Labelled rows for tests of fitting, and a trainer that learns in milliseconds: a logistic regression of words."""

import json
import random
import zlib
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

_COMMON = """
    order parcel refund invoice account password delivery address payment card plan upgrade cancel support agent ticket
    answer question morning evening garden river window table letter number price week month store
"""
WORDS = _COMMON.split()
BAD = ("awful", "stupid", "idiot", "hate", "disgusting", "moron")


def text(generator, bad, *, length=14):
    """Return a text of common words, of a bad one with two of its own."""
    words = generator.choices(WORDS, k=length)
    if bad:
        for at in generator.sample(range(length), 2):
            words[at] = generator.choice(BAD)
    return " ".join(words)


def texts(size=120, *, seed=1, field="toxicity", noise=0.0):
    """Return rows of single texts, a third of which are found; ``noise``: the share of wrong labels."""
    generator = random.Random(seed)
    rows = []
    for number in range(size):
        bad = number % 3 == 0
        wrong = generator.random() < noise
        rows.append({"id": f"r{number}", "text": text(generator, bad), field: bad != wrong, "planted": wrong})
    return rows


def pairs(size=120, *, seed=1):
    """Return responses and contexts; what is not in the context is a word of its own kind."""
    generator = random.Random(seed)
    rows = []
    for number in range(size):
        context = text(generator, False, length=30)
        bad = number % 3 == 0
        response = " ".join(context.split()[:8]) + (f" {generator.choice(BAD)}" if bad else "")
        label = "unsupported" if bad else "supported"
        rows.append({"id": f"p{number}", "contexts": [context], "response": response, "label": label})
    return rows


def write(path: Path, rows) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Learnt:
    """Weights of hashed words, a column a task."""

    def __init__(self, weights, made=()):
        self.weights, self.made = weights, made

    @property
    def tensors(self):
        return {"head.words.weight": torch.tensor(self.weights)}

    def logits(self, rows):
        return features(rows) @ self.weights


class Words:
    """Trains on hashed words; counts its calls, and fails in one where that is asked for."""

    trunk, trunk_revision, window, layers, signature = "words", "0" * 64, (128,), None, "words:1"

    def __init__(self, *, fail_at=None, error=KeyboardInterrupt, before=None):
        self.calls = []
        self.fail_at, self.error, self.before = fail_at, error, before

    def start(self):
        return self.before

    def train(self, rows, watched, folder, report):
        self.calls.append((list(rows), list(watched), folder))
        if self.fail_at == len(self.calls):
            raise self.error
        data = features(rows)
        made = np.zeros((data.shape[1], len(rows[0].found)))
        for step in range(60):
            report((step + 1) * len(rows), 60 * len(rows), f"loss {step}")
            for task in range(made.shape[1]):
                known = np.array([row.found[task] is not None for row in rows])
                truth = np.array([bool(row.found[task]) for row in rows])
                error = (expit(data @ made[:, task]) - truth) * known
                made[:, task] -= 2.0 * (data.T @ error / len(rows) + 1e-3 * made[:, task])
        return Learnt(made)


def features(rows, size=256):
    """Return how often each hashed word comes, and a constant."""
    made = np.zeros((len(rows), size + 1))
    for place, row in enumerate(rows):
        for word in row.text.split():
            made[place, zlib.crc32(word.encode()) % size] += 1.0
        made[place, size] = 1.0
    return made
