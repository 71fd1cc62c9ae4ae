"""How strongly the words hold the weights: four answers to what the paper left open."""

import numpy as np

from wordsight.errors import InputError
from wordsight.transfer.few_shot.evidence import penalty_by_evidence
from wordsight.transfer.few_shot.prior import careful_setting
from wordsight.transfer.few_shot.shots import Setting, Shots


def setting_of(strength: str | float, shots: Shots) -> Setting | None:
    """Return penalty and trust, or None where held-out shots are to choose them.

    Raises:
        InputError: for a strength that is neither known nor a number above 0.
    """
    if strength == "held-out":
        return None
    if strength == "evidence":
        return penalty_by_evidence(shots), 1.0
    if strength == "shots":
        return careful_setting(shots)
    if isinstance(strength, str) or not (np.isfinite(strength) and strength > 0):
        raise InputError(
            f"strength is {strength!r}; expected held-out, evidence, shots or a number above 0"
        )
    return float(strength), 1.0
