"""Every architecture that is known by name, as data; no torch is needed to look one up."""

import difflib

from wordsight.errors import InputError
from wordsight.model.zoo.clip import clip_models
from wordsight.model.zoo.entry import PublicWeights as PublicWeights
from wordsight.model.zoo.entry import TokenizerFamily as TokenizerFamily
from wordsight.model.zoo.entry import ZooModel as ZooModel
from wordsight.model.zoo.siglip import siglip_models
from wordsight.model.zoo.small import small_models


def models() -> tuple[ZooModel, ...]:
    """Return all of them: ours, CLIP's, SigLIP's."""
    return (*small_models(), *clip_models(), *siglip_models())


def names() -> tuple[str, ...]:
    """Return the names of all of them, in the same order."""
    return tuple(model.name for model in models())


def find(name: str) -> ZooModel:
    """Return the model of a name; capitals do not matter.

    Raises:
        InputError: with the nearest name, if there is none of it.
    """
    known = {model.name.lower(): model for model in models()}
    if name.lower() in known:
        return known[name.lower()]
    (close,) = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0)
    raise InputError(
        f"{name!r} is not the name of a known architecture",
        hint=f"did you mean {known[close].name!r}? `wordsight models` lists all",
    )
