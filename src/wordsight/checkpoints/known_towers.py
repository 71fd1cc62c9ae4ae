"""What shapes alone do not tell of a tower, looked up among the models that are known."""

from wordsight.model.architecture import ImageConfig, VisionTransformerConfig
from wordsight.model.zoo import models


def known_heads(tower: ImageConfig) -> int | None:
    """Return the heads that the known models with such blocks have, None if there are none.

    open_clip's largest towers have heads of 80 to 104 channels; OpenAI's rule would say 64.
    """
    if not isinstance(tower, VisionTransformerConfig):
        return None
    blocks = (tower.width, tower.depth, tower.mlp_width)
    for model in models():
        known = model.architecture.image
        if not isinstance(known, VisionTransformerConfig):
            continue
        if (known.width, known.depth, known.mlp_width) == blocks:
            return known.num_heads
    return None
