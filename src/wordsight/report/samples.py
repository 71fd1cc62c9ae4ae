"""Cards of held-out pictures with the sentences a model ranked highest for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wordsight.errors import WordsightError
from wordsight.language import Phrases
from wordsight.report.page import Markup, picture, tag, words
from wordsight.report.run import Match, Sample

MAX_LEAKS = 24
CARD_SIDE = 420
LEAK_SIDE = 160


@dataclass(frozen=True, slots=True)
class Pictures:
    """Turns the paths of a run into pictures on the page.

    A relative path is looked for beneath `folder` first, then beneath the working folder. A
    picture that is gone or broken is replaced by the reason: the report must not fail for it.
    """

    folder: Path
    phrases: Phrases
    data_uri: Callable[[Path, int], str]

    def __call__(self, path: str, side: int) -> Markup:
        """Return the picture, at most `side` pixels wide and high."""
        try:
            beneath = self.folder / path
            place = beneath if beneath.exists() else Path(path)
            return picture(self.data_uri(place, side), path)
        except (WordsightError, OSError, ValueError) as error:
            reason = self.phrases("report.no_picture", reason=str(error))
            return picture(None, path, reason=reason)


def sample_cards(samples: Sequence[Sample], pictures: Pictures) -> Markup:
    """Show each picture with its true sentences and the ranked ones, true ones marked."""
    return tag("div", [_card(sample, pictures) for sample in samples], class_="samples")


def leak_cards(leaks: Sequence[tuple[str, str]], pictures: Pictures) -> Markup:
    """Show the first look-alike pictures side by side with their paths."""
    pairs = [
        tag(
            "div",
            [pictures(path, LEAK_SIDE) for path in pair],
            [tag("div", words(path), class_="path") for path in pair],
        )
        for pair in leaks[:MAX_LEAKS]
    ]
    hidden = len(leaks) - MAX_LEAKS
    more = pictures.phrases("align.data.more_leaks", n=hidden) if hidden > 0 else None
    return tag("div", pairs, tag("p", more, class_="note") if more else None, class_="leaks")


def _card(sample: Sample, pictures: Pictures) -> Markup:
    phrases = pictures.phrases
    return tag(
        "article",
        pictures(sample.image, CARD_SIDE),
        tag(
            "div",
            tag("h3", phrases("align.samples.truth")),
            [tag("p", words(sentence, dir="auto")) for sentence in sample.truth],
            tag("h3", phrases("align.samples.best")),
            tag("ol", [_match(match, phrases) for match in sample.best], class_="best"),
            tag("div", words(sample.name or sample.image), class_="path"),
        ),
        class_="card sample",
    )


def _match(match: Match, phrases: Phrases) -> Markup:
    score = f"{match.score:.2f}"
    if match.is_match:
        score = f"\N{CHECK MARK} {phrases('align.samples.match')} {score}"
    return tag(
        "li",
        words(match.text, dir="auto"),
        tag("span", score),
        class_="match" if match.is_match else None,
    )
