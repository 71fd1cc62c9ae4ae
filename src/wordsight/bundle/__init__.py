"""A learnt space on disk: one folder that any later step can open offline."""

from wordsight.bundle.schema import BundleConfig as BundleConfig
from wordsight.bundle.schema import Similarity as Similarity
from wordsight.bundle.store import Bundle as Bundle
from wordsight.bundle.store import open_bundle as open_bundle
from wordsight.bundle.store import write_bundle as write_bundle
