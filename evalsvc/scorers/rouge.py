"""ROUGE-1, -2, -L and -Lsum F1 of the response against its reference, with rouge-score's digits at a native speed.

rouge-score defines the values and is what the tests compare with; rouge-score-rs, the same in Rust, computes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, ClassVar, NamedTuple

from evalsvc.scorers._reference import PairValues, ReferenceScorer
from evalsvc.types import Scale, ScorerSpec

REPRODUCED = "rouge-score.0.1.2"
"""Whose digits these are."""
MOST_TOKEN_PAIRS = 1_500_000_000
"""How many tokens of the response times tokens of the reference ROUGE-L may compare: some two seconds."""
MOST_LSUM_TOKEN_PAIRS = 400_000_000
"""The same for ROUGE-Lsum, which keeps the table of two lines to read it back."""
MOST_LSUM_TABLE = 25_000_000
"""How many tokens a line of the response times a line of the reference may have: 100 MB."""
MOST_SHARED = 100_000_000
"""How many characters of the response times characters of the reference are worth all types at once: 0.2 s."""
_TOKEN = re.compile("[a-z0-9]+")


class _Batch(NamedTuple):
    pairs: Sequence[tuple[str, str]]
    types: tuple[str, ...]
    scores: list[dict[str, Any]]


class RougeTool:
    """rouge-score-rs for the ROUGE scorers that share it: a batch is tokenised and stemmed once for all of them.

    It computes the types that were asked for so far, and remembers the last batch. Threads may use it together: at
    worst one computes again.
    """

    def __init__(self) -> None:
        """Make it; nothing is imported before :meth:`load`."""
        self._types: tuple[str, ...] = ()
        self._scorers: dict[tuple[str, ...], Any] = {}
        self._last = _Batch((), (), [])

    def load(self, rouge_type: str) -> None:
        """Import rouge-score-rs, and compute this type from now on."""
        if rouge_type not in self._types:
            self._types = (*self._types, rouge_type)
        self._scorer(self._types)

    def f1(self, rouge_type: str, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return F1 of (response, reference) pairs, computed on all CPU cores."""
        self.load(rouge_type)
        last = self._last
        if rouge_type not in last.types or last.pairs != pairs:
            # What is soon done for one type may take minutes for another, which abstains from it.
            long = any(len(response) * len(reference) > MOST_SHARED for response, reference in pairs)
            types = (rouge_type,) if long else self._types
            scores = self._scorer(types).score_batch([theirs for _, theirs in pairs], [ours for ours, _ in pairs])
            last = self._last = _Batch(pairs, types, scores)
        return [scores[rouge_type].fmeasure for scores in last.scores]

    def _scorer(self, types: tuple[str, ...]) -> Any:  # noqa: ANN401 - the package has no types here
        if types not in self._scorers:
            self._scorers[types] = import_module("rouge_score_rs.rouge_scorer").RougeScorer(types, use_stemmer=True)
        return self._scorers[types]


_shared = RougeTool()


class _Rouge(ReferenceScorer):
    """What the ROUGE scorers share: rouge-score's tokens and stems, and who abstains.

    Tokens are runs of a-z and 0-9 after lower-casing, Porter-stemmed from four characters on. Other scripts have
    no tokens: a reference that is all Chinese abstains, where rouge-score gives 0.
    """

    _empty_reference = "the reference has no token a-z, 0-9, all that ROUGE sees"
    _fewest_tokens: ClassVar[int] = 1
    _most_token_pairs: ClassVar[int | None] = None

    def __init__(self, metric: str, rouge_type: str, name: str, tool: RougeTool | None) -> None:
        """Make the scorer; nothing is imported before :meth:`load`."""
        by = f"digits:{REPRODUCED}|version:rouge-score-rs.{version('rouge-score-rs')}"
        self._type = rouge_type
        self._tool = tool or _shared
        self._spec = ScorerSpec(
            metric=metric,
            version=1,
            scale=Scale(0.0, 1.0, "higher"),
            needs=("response", "reference"),
            signature=f"nrefs:1|case:lc|type:{rouge_type}|f:1|tok:default|stem:porter.nltk|{by}",
            description=f"{name} F1 of the response against the reference, as rouge-score computes it.",
        )

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the stemmer is in the signature because it decides which words match."""
        return self._spec

    def load(self) -> None:
        """Import rouge-score-rs."""
        self._tool.load(self._type)

    def values(self, pairs: Sequence[tuple[str, str]]) -> PairValues:
        """Return F1 of (response, reference) pairs, equal to rouge-score's ``fmeasure``."""
        found = self._tool.f1(self._type, pairs)
        # Where something matched, the reference has tokens.
        has_tokens = [bool(f1) or self._has_tokens(reference) for f1, (_, reference) in zip(found, pairs, strict=True)]
        return PairValues(found, has_tokens)

    def _has_tokens(self, reference: str) -> bool:
        tokens = _TOKEN.finditer(reference.lower())
        return all(next(tokens, None) for _ in range(self._fewest_tokens))

    def _unscorable(self, response: str, reference: str) -> str | None:
        most = self._most_token_pairs
        # A token and the gap after it take two characters.
        if most is None or (len(response) + 1) * (len(reference) + 1) <= 4 * most:
            return None
        if tokens(response) * tokens(reference) <= most:
            return None
        return f"the response's tokens times the reference's are more than {most:,}"


class Rouge1(_Rouge):
    """ROUGE-1 F1, 0 … 1, higher is better: ``RougeScorer(["rouge1"], use_stemmer=True)``.

    Harmonic mean of the shares of shared stems in response and reference, counted with multiplicity (Lin, 2004).
    It abstains without a reference and where the reference has no token of a-z and 0-9.

    >>> Rouge1().values([("police kill the gunman", "the gunman killed police")]).values
    [1.0]
    """

    def __init__(self, tool: RougeTool | None = None) -> None:
        """Make the scorer with a tool of its own or the process's; nothing is imported before :meth:`load`."""
        super().__init__("rouge_1", "rouge1", "ROUGE-1", tool)


class Rouge2(_Rouge):
    """ROUGE-2 F1, 0 … 1, higher is better: ``RougeScorer(["rouge2"], use_stemmer=True)``.

    ROUGE-1 with pairs of neighbouring stems (Lin, 2004). It also abstains where the reference has one token only:
    no pair could be shared, and rouge-score's 0 would be read as a bad response.

    >>> Rouge2().values([("police kill the gunman", "the gunman killed police")]).values
    [0.3333333333333333]
    """

    _empty_reference = "the reference has fewer than two tokens a-z, 0-9, all that ROUGE sees"
    _fewest_tokens = 2

    def __init__(self, tool: RougeTool | None = None) -> None:
        """Make the scorer with a tool of its own or the process's; nothing is imported before :meth:`load`."""
        super().__init__("rouge_2", "rouge2", "ROUGE-2", tool)


class RougeL(_Rouge):
    """ROUGE-L F1, 0 … 1, higher is better: ``RougeScorer(["rougeL"], use_stemmer=True)``.

    Harmonic mean of LCS length over response tokens and over reference tokens (Lin, 2004). It abstains without a
    reference, where the reference has no token of a-z and 0-9, and where the tokens of both, multiplied, are more
    than 1,500,000,000.

    >>> RougeL().values([("police kill the gunman", "police killed the gunman")]).values
    [1.0]
    """

    _most_token_pairs = MOST_TOKEN_PAIRS

    def __init__(self, tool: RougeTool | None = None) -> None:
        """Make the scorer with a tool of its own or the process's; nothing is imported before :meth:`load`."""
        super().__init__("rouge_l", "rougeL", "ROUGE-L", tool)


class RougeLsum(_Rouge):
    r"""ROUGE-Lsum F1, 0 … 1, higher is better: ``RougeScorer(["rougeLsum"], use_stemmer=True)``.

    ROUGE-L for summaries of one sentence a line (Lin, 2004, section 3.2): for every line of the reference, the union
    of its longest common subsequences with the response's lines. Of texts of one line each it is ROUGE-L. It abstains
    as ROUGE-L does, at 400,000,000, and where the longest lines of both, multiplied, have more than 25,000,000 tokens.

    >>> RougeLsum().values([("the gunman fled\npolice came", "police came\nthe gunman fled")]).values
    [1.0]
    """

    _most_token_pairs = MOST_LSUM_TOKEN_PAIRS

    def __init__(self, tool: RougeTool | None = None) -> None:
        """Make the scorer with a tool of its own or the process's; nothing is imported before :meth:`load`."""
        super().__init__("rouge_lsum", "rougeLsum", "ROUGE-Lsum", tool)

    def _unscorable(self, response: str, reference: str) -> str | None:
        reason = super()._unscorable(response, reference)
        if reason is not None or (len(response) + 1) * (len(reference) + 1) <= 4 * MOST_LSUM_TABLE:
            return reason
        if longest_line(response) * longest_line(reference) <= MOST_LSUM_TABLE:
            return None
        return f"the tokens of the longest lines, multiplied, are more than {MOST_LSUM_TABLE:,}"


def tokens(text: str) -> int:
    """Return how many tokens ROUGE sees.

    >>> tokens("Two naïve, 3.5")
    5
    """
    return len(_TOKEN.findall(text.lower()))


def longest_line(text: str) -> int:
    r"""Return how many tokens the line with most of them has.

    >>> longest_line("one\nand two\n")
    2
    """
    return max(map(tokens, text.split("\n")))
