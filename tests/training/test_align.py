"""Aligning learns the drawn world, always in the same way, and survives what befalls it."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import worlds
from tally import COUNT
from wordsight import load
from wordsight.bundle import open_bundle
from wordsight.errors import BundleError, ConfigError, DataError, InputError
from wordsight.training.align import Aligned, align
from wordsight.training.align_config import AlignConfig
from wordsight.training.towers import open_image_tower, open_text_tower


def score(aligned: Aligned, name: str, when: str = "after") -> dict[str, float]:
    return next(s for s in aligned.results["scores"] if s["name"] == name)[when]


def settings(image: Path, text: Path, **changes: Any) -> AlignConfig:
    return AlignConfig(image_tower=str(image), text_tower=str(text), **changes)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.write_world(
        tmp_path_factory.mktemp("colours") / "w", 240, sentence="a {colour} shape"
    )


@pytest.fixture(scope="module")
def learnt(tiny: Path, colours: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model of the colours, learnt from an ONNX file and a bundle without heads."""
    out = tmp_path_factory.mktemp("learnt") / "model"
    epochs: list[int] = []
    aligned = align(
        colours,
        out=out,
        config=settings(
            tiny / "towers" / "colours.onnx",
            tiny / "headless",
            epochs=40,
            batch_size=64,
            learning_rate=5e-3,
        ),
        cache=cache,
        on_epoch=lambda record: epochs.append(record.epoch),
    )
    return aligned, epochs


def test_it_learns_the_colours_of_pictures_it_never_saw(learnt: Any):
    aligned, _ = learnt
    found = score(aligned, "image_to_text_r1")
    assert found["n"] >= 30
    assert found["low"] > 2 / 6, "chance is one in six colours"
    assert found["value"] > 0.6


def test_the_bundle_answers_as_the_report_says(learnt: Any, tmp_path: Path):
    aligned, _ = learnt
    model = load(aligned.bundle.path)
    world = worlds.write_world(tmp_path / "new", 60)
    pictures = [world / f"{n}.png" for n in range(60)]
    texts = [f"a {colour} shape" for colour in worlds.COLOURS]
    best = (model.encode_image(pictures) @ model.encode_text(texts).T).argmax(axis=1)
    assert np.mean(best == np.arange(60) % 6) > 0.5
    assert 1 <= model.logit_scale <= 100


def test_the_run_folder_tells_how_it_came_about(learnt: Any):
    aligned, epochs = learnt
    run = aligned.bundle.path / "run"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == epochs == list(range(len(epochs)))
    assert lines[0].get("train_loss") is None
    best = min(lines, key=lambda line: line["val_loss"])
    assert best["epoch"] == aligned.results["best_epoch"]
    assert json.loads((run / "results.json").read_text()) == aligned.results
    assert json.loads((run / "config.json").read_text())["epochs"] == 40
    assert (run / "rejected.jsonl").read_text() == ""
    counts = aligned.results["pairs"]
    assert counts["pictures"] == 240
    assert counts["sentences"] == 6
    assert counts["train"] + counts["held_out"] == 240
    card = (aligned.bundle.path / "README.md").read_text()
    assert "colours" in card
    assert "image_to_text_r1" in card


def test_learning_again_starts_from_the_model_made_before(
    learnt: Any, colours: Path, cache: Path, tmp_path: Path
):
    before, _ = learnt
    again = align(
        colours,
        out=tmp_path / "again",
        config=settings(before.bundle.path, before.bundle.path, epochs=2),
        cache=cache,
    )
    earlier = score(before, "image_to_text_r1")["value"]
    assert score(again, "image_to_text_r1", "before")["value"] == pytest.approx(earlier, abs=0.06)
    assert score(again, "image_to_text_r1")["value"] >= earlier - 0.12
    assert "before" not in before.results["scores"][0], "heads that mean nothing are no score"


def test_a_bundle_is_replaced_by_what_it_learnt_itself(
    learnt: Any, colours: Path, cache: Path, tmp_path: Path
):
    import shutil

    before, _ = learnt
    place = Path(shutil.copytree(before.bundle.path, tmp_path / "model"))
    aligned = align(colours, out=place, config=settings(place, place, epochs=1), cache=cache)
    assert open_bundle(place) == aligned.bundle


def test_features_come_from_the_cache_the_second_time(
    learnt: Any, tiny: Path, colours: Path, cache: Path, tmp_path: Path
):
    again = align(
        colours,
        out=tmp_path / "again",
        config=settings(tiny / "towers" / "colours.onnx", tiny / "headless", epochs=1),
        cache=cache,
    )
    assert again.results["speed"]["cache_misses"] == 0
    assert again.results["speed"]["cache_hits"] == 240


JOBS = """
import json, os, select, signal, sys
from pathlib import Path
from wordsight.bundle import open_bundle
from wordsight.training.align import align
from wordsight.training.align_config import AlignConfig

def run(pairs, towers, out, cache):
    config = AlignConfig(image_tower=towers, text_tower=towers, epochs=12, batch_size=32)
    align(pairs, out=Path(out), cache=Path(cache), config=config)

statuses = []
for *places, seconds in json.loads(sys.argv[1]):
    process = os.fork()  # imports are done, no thread runs yet
    if not process:
        try:
            run(*places)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        select.select([], [], [], seconds)
        os.kill(process, signal.SIGKILL)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
    if Path(places[2]).exists():
        open_bundle(Path(places[2]))
print(json.dumps(statuses))
"""


def run_in_processes(*jobs: tuple[Path, Path, Path, Path, float | None]) -> list[int]:
    """Align in one process per job, killing it after the seconds given; return exit codes."""
    text = json.dumps([[str(p) if isinstance(p, Path) else p for p in job] for job in jobs])
    command = [sys.executable, "-c", JOBS, text]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def digest(folder: Path, name: str) -> str:
    return hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_the_same_seed_gives_the_same_bytes_in_two_processes(
    tiny: Path, drawn: Path, tmp_path: Path
):
    places = [tmp_path / name / "model" for name in ("one", "two")]
    jobs = [(drawn, tiny / "headless", p, p.parent / "cache", None) for p in places]
    assert run_in_processes(*jobs) == [0, 0]
    for name in ("image.onnx", "text.onnx", "config.json", "tokenizer.json", "prompts.toml"):
        assert digest(places[0], name) == digest(places[1], name), name


def test_another_seed_gives_another_model(tiny: Path, drawn: Path, cache: Path, tmp_path: Path):
    for seed in (1, 2):
        align(
            drawn,
            out=tmp_path / str(seed),
            config=settings(tiny / "headless", tiny / "headless", epochs=1, seed=seed),
            cache=cache,
        )
    assert digest(tmp_path / "1", "image.onnx") != digest(tmp_path / "2", "image.onnx")


def test_a_run_killed_at_any_moment_finishes_when_repeated(tiny: Path, drawn: Path, tmp_path: Path):
    place, cache, rng = tmp_path / "model", tmp_path / "cache", random.Random(5)
    job = (drawn, tiny / "headless", place, cache)
    seconds = [rng.uniform(0.02, 0.15 * n) for n in range(1, 6)]
    codes = run_in_processes(*((*job, s) for s in seconds), (*job, None))
    COUNT["kills"] += codes.count(-signal.SIGKILL)
    assert codes[-1] == 0
    open_bundle(place)
    hidden = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert hidden == [], "what killed runs left is removed"


def test_nearly_identical_sentences_do_not_collapse_unless_the_report_says_so(
    tiny: Path, cache: Path, tmp_path: Path
):
    world = worlds.write_world(
        tmp_path / "w", 272, sentence="a photo of a {colour} {shape} on the table word{number}"
    )
    aligned = align(
        world,
        out=tmp_path / "m",
        config=settings(tiny / "headless", tiny / "headless"),
        cache=cache,
    )
    model = load(aligned.bundle.path)
    from wordsight.data import read_pairs

    pairs = read_pairs(world)
    similarity = model.encode_image(pairs.images) @ model.encode_text(pairs.texts).T
    different = len(np.unique(similarity.argmax(axis=1)))
    levels = {f["level"] for f in aligned.results["findings"] if "collapse" in f["text"]}
    assert different > 27 or "stop" in levels


def test_too_few_pictures_are_refused(tiny: Path, cache: Path, tmp_path: Path):
    world = worlds.write_world(tmp_path / "w", 7)
    with pytest.raises(DataError, match="7 usable pictures; aligning needs at least 8"):
        align(world, out=tmp_path / "m", config=settings(tiny / "tiny", tiny / "tiny"), cache=cache)
    assert not (tmp_path / "m").exists()


def test_eight_pictures_are_enough_or_the_reason_is_said(tiny: Path, cache: Path, tmp_path: Path):
    world = worlds.write_world(tmp_path / "w", 8)
    aligned = align(
        world,
        out=tmp_path / "m",
        config=settings(tiny / "headless", tiny / "headless", epochs=2),
        cache=cache,
    )
    assert any("held out" in f["text"] for f in aligned.results["findings"])


def test_one_sentence_for_all_pictures_is_refused(tiny: Path, cache: Path, tmp_path: Path):
    world = worlds.write_world(tmp_path / "w", 20, sentence="a part")
    with pytest.raises(DataError, match="all pictures have the same sentence 'a part'"):
        align(world, out=tmp_path / "m", config=settings(tiny / "tiny", tiny / "tiny"), cache=cache)


def test_copies_of_one_picture_are_refused_with_the_reason(tiny: Path, cache: Path, tmp_path: Path):
    world = worlds.write_world(tmp_path / "w", 20)
    for n in range(1, 20):
        (world / f"{n}.png").write_bytes((world / "0.png").read_bytes())
    with pytest.raises(DataError):
        align(world, out=tmp_path / "m", config=settings(tiny / "tiny", tiny / "tiny"), cache=cache)


def test_bad_pictures_stop_the_run_or_are_listed_within_the_budget(
    tiny: Path, cache: Path, tmp_path: Path
):
    world = worlds.write_world(tmp_path / "w", 40)
    for n in (3, 11):
        (world / f"{n}.png").write_text("<html>404</html>")
    config = settings(tiny / "headless", tiny / "headless", epochs=1)
    with pytest.raises(DataError, match=r"2 pairs have a picture that cannot be read, 0 allowed"):
        align(world, out=tmp_path / "m", config=config, cache=cache)
    with pytest.raises(DataError, match="1 allowed"):
        config = settings(tiny / "headless", tiny / "headless", epochs=1, max_bad=1)
        align(world, out=tmp_path / "m", config=config, cache=cache)
    config = settings(tiny / "headless", tiny / "headless", epochs=1, max_bad=2)
    aligned = align(world, out=tmp_path / "m", config=config, cache=cache)
    text = (tmp_path / "m" / "run" / "rejected.jsonl").read_text()
    rejected = [json.loads(line) for line in text.splitlines()]
    assert sorted(Path(row["value"]).name for row in rejected) == ["11.png", "3.png"]
    assert aligned.results["pairs"]["bad_rows"] == 2
    assert aligned.results["pairs"]["pictures"] == 38


def test_a_folder_of_something_else_is_refused_before_any_work(tiny: Path, tmp_path: Path):
    out = tmp_path / "photos"
    out.mkdir()
    (out / "precious.jpg").write_bytes(b"x")
    with pytest.raises(BundleError, match="is not a model folder"):
        align(
            tmp_path / "absent.csv",
            out=out,
            config=settings(tiny / "tiny", tiny / "tiny"),
            cache=tmp_path / "cache",
        )
    assert not (tmp_path / "cache").exists()
    assert (out / "precious.jpg").exists()


def test_a_vocabulary_teaches_the_names_of_the_classifiers_classes(
    tiny: Path, drawn: Path, cache: Path, tmp_path: Path
):
    vocabulary = tmp_path / "words.jsonl"
    names = [["cat"], ["dog", "big dog"], ["table"], ["line"], ["photo", "picture"]]
    vocabulary.write_text("".join(json.dumps({"texts": texts}) + "\n" for texts in names))
    (tmp_path / "pictures").mkdir()
    for n in range(30):
        (tmp_path / "pictures" / f"{n}.png").write_bytes((drawn / f"{n}.png").read_bytes())
    config = settings(
        tiny / "headless",
        tiny / "headless",
        epochs=2,
        vocabulary=vocabulary,
        class_pictures=tmp_path / "pictures",
        low_resolution=(16,),
        embed_dim=8,
    )
    aligned = align(drawn, out=tmp_path / "m", config=config, cache=cache)
    from wordsight.model.graph import read_graph, read_image_head

    head = read_image_head(read_graph(tmp_path / "m" / "image.onnx"))
    assert head is not None
    assert head.classes is not None
    assert head.classes.weight.shape == (8, 5)
    assert "before" in aligned.results["scores"][0]
    assert load(tmp_path / "m").embed_dim == 8


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"texts": ["cat"]}\n', "words for 1 classes; the classifier has 5"),
        ('{"texts": []}\n' * 5, "line 1: texts must hold words"),
        ("nothing\n" * 5, "line 1"),
        ('{"words": ["cat"]}\n' * 5, "line 1"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_named(
    tiny: Path, drawn: Path, cache: Path, tmp_path: Path, lines: str, message: str
):
    vocabulary = tmp_path / "words.jsonl"
    vocabulary.write_text(lines)
    config = settings(
        tiny / "headless", tiny / "headless", vocabulary=vocabulary, class_pictures=drawn
    )
    with pytest.raises(ConfigError, match=message):
        align(drawn, out=tmp_path / "m", config=config, cache=cache)


def test_torch_weights_of_a_tower_that_is_only_a_graph_are_refused(
    tiny: Path, drawn: Path, cache: Path, tmp_path: Path
):
    config = settings(tiny / "headless", tiny / "headless", epochs=1, torch_weights=True)
    with pytest.raises(ConfigError, match=r"torch_weights: tower .* is only known as a graph"):
        align(drawn, out=tmp_path / "m", config=config, cache=cache)


def test_a_joint_space_wider_than_the_sentences_is_refused(
    tiny: Path, drawn: Path, cache: Path, tmp_path: Path
):
    config = settings(tiny / "headless", tiny / "headless", embed_dim=64)
    with pytest.raises(ConfigError, match="embed_dim 64 is wider than the text tower's 32"):
        align(drawn, out=tmp_path / "m", config=config, cache=cache)


def quiet_exporter() -> None:
    """Newer Pythons deprecate what torch's exporter and the libraries it exports use."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)


def test_models_of_timm_and_transformers_are_towers(drawn: Path, cache: Path, tmp_path: Path):
    timm, transformers = pytest.importorskip("timm"), pytest.importorskip("transformers")
    import torch
    from timm.models import save_for_hf
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    torch.manual_seed(0)
    model = timm.create_model("test_resnet", pretrained=False, num_classes=3)
    save_for_hf(model, str(tmp_path / "timm"), safe_serialization=True)
    bert = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=len(worlds.words()),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=24,
            initializer_range=0.3,
        )
    )
    bert.save_pretrained(tmp_path / "bert")
    rust = Tokenizer.from_str(worlds.tokenizer_json().decode())
    rust.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=rust, pad_token="[PAD]", unk_token="[UNK]",
        cls_token="[CLS]", sep_token="[SEP]",
    )  # fmt: skip
    fast.save_pretrained(tmp_path / "bert")
    with warnings.catch_warnings():
        quiet_exporter()
        aligned = align(
            drawn,
            out=tmp_path / "m",
            config=settings(tmp_path / "timm", tmp_path / "bert", epochs=2),
            cache=cache,
        )
    rules = aligned.bundle.config.tokenizer
    assert (rules.start_id, rules.end_id, rules.pad_id, rules.context_length) == (2, 3, 0, 24)
    # the text tower says what sentence-transformers would compute from the same folder
    text = "a red circle"
    ids = torch.tensor([fast(text)["input_ids"]])
    assert load(tmp_path / "m").tokenize([text]).tolist() == ids.tolist()
    from wordsight.training.text_features import TextFeatureReader

    with warnings.catch_warnings():
        quiet_exporter()
        tower = open_text_tower(tmp_path / "bert", cache)
    with torch.no_grad():
        state = bert.eval()(input_ids=ids).last_hidden_state.mean(dim=1)
    expected = torch.nn.functional.normalize(state, dim=-1)
    found = TextFeatureReader(tower, cache).read([text])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    settings_of_timm = model.pretrained_cfg
    assert aligned.bundle.config.preprocessing.size == settings_of_timm["input_size"][-1]
    assert aligned.bundle.config.preprocessing.mean == tuple(settings_of_timm["mean"])


@pytest.mark.parametrize("name", ["efficientnet-lit0", "minilm2", "absent/folder"])
def test_a_tower_that_is_not_there_is_named_with_the_nearest(name: str, tmp_path: Path):
    for opened in (open_image_tower, open_text_tower):
        with pytest.raises(InputError, match=name):
            opened(name, tmp_path)
    if name == "efficientnet-lit0":
        with pytest.raises(InputError) as caught:
            open_image_tower(name, tmp_path)
        assert caught.value.hint == "did you mean 'efficientnet-lite0'?"


def test_a_folder_or_file_that_holds_no_tower_is_named(tiny: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.onnx").write_text("nothing")
    for opened, place in (
        (open_image_tower, tmp_path / "empty"),
        (open_text_tower, tmp_path / "empty"),
        (open_image_tower, tmp_path / "x.onnx"),
        (open_image_tower, tiny / "towers" / "text.onnx"),
    ):
        with pytest.raises(BundleError) as caught:
            opened(place, tmp_path / "cache")
        assert str(place) in str(caught.value)
