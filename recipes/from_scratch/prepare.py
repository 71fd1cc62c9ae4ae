"""Write the pictures and sentences of the recipe as one table: python prepare.py DATA OUT

Tiny ImageNet's training pictures (class name, and everyday words of `words.toml`, each in three
templates) and the training parts of the caption sets. Larger pictures are shrunk once, to a short
side of 80, which is what the random squares of 64 pixels are cut from.
"""

import argparse
import csv
import tomllib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image

from wordsight.data.example_sources import open_examples

CAPTION_SETS = (
    "coco2k_captions",
    "flowers102_captions",
    "ucm_captions",
    "landscape_noisy_captions",
)
TEMPLATES = ("{}", "a photo of a {}.", "a close-up photo of a {}.")
SHORT_SIDE = 80


def everyday_words() -> dict[str, list[str]]:
    """Return the everyday words of every class."""
    words: dict[str, list[str]] = {}
    groups = tomllib.loads((Path(__file__).parent / "words.toml").read_text(encoding="utf-8"))
    for word, classes in groups.items():
        for name in classes:
            words.setdefault(name, []).append(word)
    return words


def labelled(data: Path) -> Iterator[tuple[bytes, list[str]]]:
    """Yield tiny ImageNet's pictures, each with every sentence that may be said of it."""
    words = everyday_words()
    examples = open_examples(str(data / "tiny_imagenet" / "train-*.tar"))
    for number in range(len(examples)):
        example = examples[number]
        name = example.texts[0]
        names = [name, *words.get(name, [])]
        yield read(example.image), [t.replace("{}", n) for n in names for t in TEMPLATES]


def captioned(data: Path, name: str) -> Iterator[tuple[bytes, list[str]]]:
    """Yield the pictures of a caption set that are not for testing, with their captions."""
    folder = data / name
    captions: dict[str, list[str]] = {}
    with (folder / "pairs.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row.get("split", "train") == "train":
                captions.setdefault(row["path"], []).append(row["caption"])
    for path, said in captions.items():
        yield shrunk((folder / path).read_bytes()), said


def read(image: Path | bytes) -> bytes:
    """Return the encoded picture."""
    return image if isinstance(image, bytes) else image.read_bytes()


def shrunk(content: bytes) -> bytes:
    """Return a picture with a short side of at most `SHORT_SIDE`."""
    picture = Image.open(BytesIO(content)).convert("RGB")
    share = SHORT_SIDE / min(picture.size)
    if share >= 1:
        return content
    size = [round(side * share) for side in picture.size]
    written = BytesIO()
    picture.resize((size[0], size[1]), Image.Resampling.BICUBIC).save(written, "JPEG", quality=92)
    return written.getvalue()


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    unfinished = options.out / "pairs.csv.part"
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "text"])
        for name, source in [
            ("tiny_imagenet", labelled(options.data)),
            *((name, captioned(options.data, name)) for name in CAPTION_SETS),
        ]:
            folder = options.out / name
            folder.mkdir(exist_ok=True)
            count = 0
            for count, (content, sentences) in enumerate(source, start=1):
                path = folder / f"{count:05}.jpg"
                path.write_bytes(content)
                for sentence in sentences:
                    table.writerow([path.relative_to(options.out), sentence])
            print(f"{name}: {count:,} pictures")
    unfinished.rename(options.out / "pairs.csv")


if __name__ == "__main__":
    main()
