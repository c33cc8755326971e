"""Relevance: how near the response is in meaning to what the user asked."""

from __future__ import annotations

from evalsvc.engine import Embeddings
from evalsvc.engine.overlap import CHARACTERS_PER_TOKEN
from evalsvc.scorers._encoder import EncoderScorer
from evalsvc.types import Abstained, Outcome, Sample, Scale, ScorerSpec


class Relevance(EncoderScorer):
    """Cosine of the embeddings of the last user message and of the response, in [0, 1]; higher is better.

    ``max(0, cos)``: the encoder's training pulls unrelated texts to 0, and what little lies below carries no
    order, so it is not worth half of a [0, 1] scale. It measures being on topic, not being right: a wrong
    answer and the question repeated are both near. Abstains without a prompt or a response. Cost: one pass
    of a small encoder over both texts.

    Source: Reimers and Gurevych 2019, Sentence-BERT.
    """

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is complete after ``load``."""
        return ScorerSpec(
            metric="relevance",
            version=1,
            scale=Scale(0.0, 1.0, "higher"),
            needs=("prompt", "response"),
            signature=f"{self.encoder_signature}|prompt:last-user|map:max0",
            description="Cosine similarity of the last user message and the response, floored at 0",
        )

    def cost(self, sample: Sample) -> int:
        """Return about how many tokens prompt and response have, at least 1."""
        event = sample.event
        return 1 + (len(event.last_user_text) + len(event.response)) // CHARACTERS_PER_TOKEN

    def texts(self, sample: Sample) -> list[str] | Abstained:
        """Return the last user message and the response."""
        asked, answered = sample.event.last_user_text, sample.event.response
        if not asked.strip():
            return Abstained("no user message")
        if not answered.strip():
            return Abstained("empty response")
        return [asked, answered]

    def compare(self, sample: Sample, embeddings: Embeddings) -> Outcome:
        """Return the cosine of the two vectors, floored at 0 and kept from rounding above 1."""
        return min(max(float(embeddings.vectors[0] @ embeddings.vectors[1]), 0.0), 1.0)
