"""What a prompt or a response is about, as random features of its embedding: what drift of topics is seen by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from evalsvc.engine import Embeddings
from evalsvc.engine.overlap import CHARACTERS_PER_TOKEN
from evalsvc.engine.settings import PACKAGED_MODEL, DeviceName, DtypeName
from evalsvc.errors import InputError
from evalsvc.scorers._encoder import EncoderScorer
from evalsvc.scorers.text_words import Side, text_of
from evalsvc.types import Abstained, Outcome, Sample, Scale, Scored, ScorerSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FREQUENCIES = 128
BANDWIDTH = 1.0
SEED = 20260


class TextEmbedding(EncoderScorer):
    """1 for every text that was embedded, so that the total says how many; neither direction is better.

    Its features are 128 cosines and 128 sines, (cos ωx, sin ωx)/√128, of the text's unit embedding x with ω drawn
    once, for ever, at right angles to each other: their dot product over two texts is near
    exp(-‖x - y‖²/(2·bandwidth²)), nearer than with independent ω, so that a drift of fewer texts is seen.
    So the distance between the mean features of two windows is the maximum mean discrepancy of their texts (Gretton
    et al. 2012), and the length of a window's mean says how alike its texts are. No text can be read from a mean of
    many. Abstains where the text is empty or longer than the encoder takes. Cost: one pass of a small encoder,
    shared with the other scorers on it.

    Source: Rahimi and Recht 2007, Random Features for Large-Scale Kernel Machines; Yu, Suresh, Choromanski,
    Holtmann-Rice and Kumar 2016, Orthogonal Random Features.

    Args:
        model: ``all-MiniLM-L6-v2``, a local folder, or a hub name with a ``revision``.
        revision: hub commit, or SHA-256 of local weights.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        max_batch_tokens: token budget of a batch on the device.
        bandwidth: distance at which the dot product is near exp(-½), > 0; unrelated texts are about 1.3 apart.
    """

    side: ClassVar[Side]
    compares_texts: ClassVar[bool] = False

    def __init__(
        self,
        model: str = PACKAGED_MODEL,
        revision: str | None = None,
        device: DeviceName = "auto",
        dtype: DtypeName = "auto",
        max_batch_tokens: int | None = None,
        bandwidth: float = BANDWIDTH,
    ) -> None:
        if isinstance(bandwidth, bool) or not isinstance(bandwidth, (int, float)) or not 0.0 < bandwidth < math.inf:
            raise InputError(f"Expected `bandwidth` above 0, but got {bandwidth!r}")
        super().__init__(model, revision, device, dtype, max_batch_tokens)
        self._bandwidth = float(bandwidth)
        self._frequencies: npt.NDArray[np.float64] | None = None

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is complete after ``load``."""
        where = "last user message" if self.side == "prompt" else "response"
        features = f"features:fourier.orthogonal.{2 * FREQUENCIES}.{SEED}|bandwidth:{self._bandwidth:g}"
        return ScorerSpec(
            metric=f"{self.side}_embedding",
            version=1,
            scale=Scale(0.0, 1.0, "neither", "texts", binary=True),
            needs=(self.side,),
            signature=f"{self.encoder_signature}|{features}",
            description=f"What the {where} is about, for drift; 1 for each that was embedded",
            features="fourier",
        )

    def cost(self, sample: Sample) -> int:
        """Return about how many tokens the text has, at least 1."""
        text = text_of(sample.event, self.side)
        return 1 + (len(text) if isinstance(text, str) else 0) // CHARACTERS_PER_TOKEN

    def texts(self, sample: Sample) -> list[str] | Abstained:
        """Return the text."""
        text = text_of(sample.event, self.side)
        return [text] if isinstance(text, str) else text

    def compare(self, sample: Sample, embeddings: Embeddings) -> Outcome:
        """Return 1 with the features of the embedding, rounded to single precision."""
        vector = embeddings.vectors[0]
        if self._frequencies is None or self._frequencies.shape[0] != vector.shape[0]:
            self._frequencies = frequencies(vector.shape[0], self._bandwidth)
        return Scored(1.0, statistics=fourier_features(vector, self._frequencies))


def frequencies(width: int, bandwidth: float) -> npt.NDArray[np.float64]:
    """Return ω, ``[width, 128]``, of lengths drawn as those of normal vectors and at right angles, ``width`` at a time.

    They are the same everywhere up to the last digits, since numpy froze this generator; a QR decomposition, whose
    signs depend on the library that does it, is not used.
    """
    import numpy as np

    drawn = np.random.RandomState(SEED).standard_normal((width, FREQUENCIES))
    lengths = np.sqrt((drawn * drawn).sum(axis=0))
    for column in range(FREQUENCIES):
        before = drawn[:, column - column % width : column]
        # Twice (Kahan & Parlett): once leaves rounding errors in what is nearly spanned by those before.
        for _ in range(2):
            drawn[:, column] -= before @ (before.T @ drawn[:, column])
        drawn[:, column] /= np.sqrt((drawn[:, column] ** 2).sum())
    return np.asarray(drawn * lengths / bandwidth)


def fourier_features(vector: npt.ArrayLike, omega: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Return (cos ωx, sin ωx)/√128 of a unit vector ``[width]``; the features' length is 1.

    >>> import numpy as np
    >>> unit = np.eye(384)[0]
    >>> features = fourier_features(unit, frequencies(384, 1.0))
    >>> len(features), round(sum(value * value for value in features), 5)
    (256, 1.0)
    """
    import numpy as np

    angles = np.asarray(vector, np.float64) @ omega
    both = np.concatenate([np.cos(angles), np.sin(angles)]) / math.sqrt(FREQUENCIES)
    # Single precision is far below what a mean of samples can tell, and is stored in half the space.
    return tuple(both.astype(np.float32).tolist())


class PromptEmbedding(TextEmbedding):
    """What the last user message is about, for drift. See :class:`TextEmbedding`.

    >>> PromptEmbedding().spec.metric
    'prompt_embedding'
    """

    side = "prompt"


class ResponseEmbedding(TextEmbedding):
    """What the response is about, for drift. See :class:`TextEmbedding`.

    >>> ResponseEmbedding().spec.features
    'fourier'
    """

    side = "response"
