"""The size of each step: it grows for a while, then falls along half a cosine to nothing."""

import math


def learning_rate(step: int, *, num_steps: int, warmup_steps: int, peak: float) -> float:
    """Return the learning rate of a step, counted from 0 (section 2.5; Loshchilov & Hutter, 2016).

    The first step of the warm-up already moves: step s of w has s + 1 parts of w of the peak.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return peak * (1 + math.cos(math.pi * min(1.0, done))) / 2
