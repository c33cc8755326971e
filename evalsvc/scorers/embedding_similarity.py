"""Embedding similarity: how near the response is in meaning to its reference."""

from __future__ import annotations

from evalsvc.engine import Embeddings
from evalsvc.engine.overlap import CHARACTERS_PER_TOKEN
from evalsvc.scorers._encoder import EncoderScorer
from evalsvc.types import Abstained, Outcome, Sample, Scale, ScorerSpec


class EmbeddingSimilarity(EncoderScorer):
    """Cosine of the embeddings of response and reference, in [0, 1]; higher is better.

    ``max(0, cos)``, as for relevance: what little lies below 0 carries no order. Other words of the same
    meaning score high, where BLEU and ROUGE see nothing; but so do a negation and a wrong number, which hardly
    move the vector. Abstains without a response or a reference. Cost: one pass of a small encoder over both.

    Source: Reimers and Gurevych 2019, Sentence-BERT.
    """

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is complete after ``load``."""
        return ScorerSpec(
            metric="embedding_similarity",
            version=1,
            scale=Scale(0.0, 1.0, "higher"),
            needs=("response", "reference"),
            signature=f"{self.encoder_signature}|nrefs:1|map:max0",
            description="Cosine similarity of the response and the reference, floored at 0",
        )

    def cost(self, sample: Sample) -> int:
        """Return about how many tokens response and reference have, at least 1."""
        event = sample.event
        return 1 + (len(event.response) + len(event.reference or "")) // CHARACTERS_PER_TOKEN

    def texts(self, sample: Sample) -> list[str] | Abstained:
        """Return the response and the reference."""
        response, reference = sample.event.response, sample.event.reference
        if reference is None:
            return Abstained("no reference")
        if not reference.strip():
            return Abstained("empty reference")
        if not response.strip():
            return Abstained("empty response")
        return [response, reference]

    def compare(self, sample: Sample, embeddings: Embeddings) -> Outcome:
        """Return the cosine of the two vectors, floored at 0 and kept from rounding above 1."""
        return min(max(float(embeddings.vectors[0] @ embeddings.vectors[1]), 0.0), 1.0)
