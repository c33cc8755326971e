"""Personal data and secrets: found by patterns, masked by policy, before the first write.

>>> from evalsvc.privacy import Masker, MaskingPolicy
>>> masker = Masker(MaskingPolicy(), key=bytes(16))
>>> masker.mask_text("write to ada@example.org", field="prompt")[0]
'write to [EMAIL_ADDRESS]'

Names and postal addresses have no pattern: see ``docs/reference/masking.md`` for what is not found.
"""

from __future__ import annotations

from evalsvc.privacy.catalogue import ENTITY_TYPES, MASKING_VERSION
from evalsvc.privacy.masker import Masker
from evalsvc.privacy.policy import Action, CustomPattern, MaskingPolicy, key_from_environment
from evalsvc.privacy.recognisers import Match, Recognisers

__all__ = [
    "ENTITY_TYPES",
    "MASKING_VERSION",
    "Action",
    "CustomPattern",
    "Masker",
    "MaskingPolicy",
    "Match",
    "Recognisers",
    "key_from_environment",
]
