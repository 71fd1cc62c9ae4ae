"""Pictures of which only the class is known, as examples with sentences."""

from collections.abc import Sequence

from wordsight.data.examples import Example, Examples, fingerprint
from wordsight.text.templates import fill


class Named:
    """Examples whose texts are class names, each put into some templates."""

    def __init__(self, whole: Examples, templates: Sequence[str]):
        self.whole, self.templates = whole, tuple(templates)

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, index: int, /) -> Example:
        example = self.whole[index]
        texts = (fill(template, name) for name in example.texts for template in self.templates)
        return Example(example.key, example.image, tuple(texts))

    @property
    def keys(self) -> Sequence[str]:
        """Name of every example."""
        return self.whole.keys

    @property
    def fingerprint(self) -> str:
        """Digest of the source's and of the templates."""
        return fingerprint([(self.whole.fingerprint, *self.templates)])
