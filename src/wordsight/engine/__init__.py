"""A learnt space in use: arrays in, unit vectors out."""

from wordsight.engine.loading import load as load
from wordsight.engine.model import Model as Model
