"""A checkpoint opened as it is says what its home library says, from pictures and sentences on."""

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
transformers = pytest.importorskip("transformers")

import foreign_worlds  # noqa: E402
import wordsight as ws  # noqa: E402
import worlds  # noqa: E402
from wordsight.checkpoints.checkpoint import Overrides  # noqa: E402
from wordsight.engine import Model  # noqa: E402
from wordsight.errors import (  # noqa: E402
    BundleError,
    CheckpointError,
    InputError,
    MissingError,
)
from wordsight.images import Preprocessing, Reading  # noqa: E402

SENTENCES = [
    "a red circle",
    "A photo of TWO cats, on a blue sofa!",
    "rain",
    "a close-up of a thin dark crack in a grey concrete wall that nobody has repaired so far",
]
NAMES = ("ViT-tiny.pt", "my-open-clip", "my-clip-hf", "my-siglip-hf")
Embeddings = tuple[NDArray[Any], NDArray[Any]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One checkpoint of each kind; not to be changed."""
    return foreign_worlds.write_all(tmp_path_factory.mktemp("foreign"))


@pytest.fixture(scope="module")
def models(world: Path) -> dict[str, Model]:
    return {name: ws.load(world / name) for name in NAMES}


def pictures() -> list[Image.Image]:
    """Squares and others; the longer side by an even number, where all libraries crop alike."""
    drawn = [worlds.draw(shape, "red", seed) for seed, shape in enumerate(worlds.SHAPES)]
    return [*drawn, drawn[0].resize((64, 32)), drawn[1].resize((32, 48)), drawn[2].resize((30, 30))]


def unit(rows: Any) -> NDArray[np.float32]:
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


def openai_home(world: Path) -> Embeddings:
    model = foreign_worlds.open_clip_model(1, quick_gelu=True)
    return of_open_clip(model, open_clip.image_transform(foreign_worlds.SIDE, is_train=False))


def open_clip_home(world: Path) -> Embeddings:
    place = f"local-dir:{world / 'my-open-clip'}"
    return of_open_clip(*open_clip.create_model_from_pretrained(place))


def of_open_clip(model: Any, transform: Callable[[Image.Image], Any]) -> Embeddings:
    tokens = open_clip.SimpleTokenizer()(SENTENCES)
    with torch.no_grad():
        pixels = torch.stack([transform(picture) for picture in pictures()])
        return unit(model.eval().encode_image(pixels)), unit(model.encode_text(tokens))


def clip_home(world: Path) -> Embeddings:
    folder = world / "my-clip-hf"
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    prepare = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    tokens = transformers.CLIPTokenizer.from_pretrained(folder)(
        SENTENCES, return_tensors="pt", padding=True
    )
    with torch.no_grad():
        home = model(**prepare(pictures(), return_tensors="pt"), **tokens)
    return home.image_embeds.numpy(), home.text_embeds.numpy()


def siglip_home(world: Path) -> Embeddings:
    folder = world / "my-siglip-hf"
    model = transformers.SiglipModel.from_pretrained(folder).eval()
    prepare = transformers.SiglipImageProcessorPil.from_pretrained(folder)
    tokens = transformers.SiglipTokenizer(str(folder / "spiece.model"))(
        SENTENCES,
        return_tensors="pt",
        padding="max_length",
        truncation=True,
        max_length=foreign_worlds.SIGLIP_CONTEXT,
    )
    with torch.no_grad():
        home = model(**prepare(pictures(), return_tensors="pt"), input_ids=tokens["input_ids"])
    return home.image_embeds.numpy(), home.text_embeds.numpy()


HOMES = dict(zip(NAMES, (openai_home, open_clip_home, clip_home, siglip_home), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_pictures_and_sentences_get_the_vectors_of_the_home_library(
    world: Path, models: dict[str, Model], name: str
):
    images, texts = HOMES[name](world)
    model = models[name]
    assert model.engine.name == "torch"
    exact = Reading(exact=True)  # as the home libraries prepare them
    found = model.encode_image(pictures(), reading=exact), model.encode_text(SENTENCES)
    np.testing.assert_allclose(found[0], images, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[1], texts, rtol=0, atol=1e-5)
    assert images.std(axis=0).min() > 1e-3  # else it would prove nothing
    assert texts.std(axis=0).min() > 1e-3


def test_arrays_of_big_vision_are_the_same_model_as_the_folder_of_transformers(
    world: Path, models: dict[str, Model]
):
    vocabulary = Overrides(tokenizer=world / "siglip.model")
    arrays, folder = ws.load(world / "siglip.npz", overrides=vocabulary), models["my-siglip-hf"]
    np.testing.assert_array_equal(arrays.encode_text(SENTENCES), folder.encode_text(SENTENCES))
    np.testing.assert_array_equal(arrays.encode_image(pictures()), folder.encode_image(pictures()))


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_classifies_at_once(models: dict[str, Model], name: str):
    model = models[name]
    classifier = ws.ZeroShotClassifier(model, ["circle", "square", "cross"])
    shown = pictures()
    cosines = model.encode_image(shown) @ model.encode_text(["circle", "square", "cross"]).T
    assert list(classifier.predict(shown)) == [
        ["circle", "square", "cross"][row.argmax()] for row in cosines
    ]
    powers = np.exp(model.logit_scale * cosines.astype(np.float64))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(shown), expected, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_scale_and_bias_are_those_of_the_file(world: Path, models: dict[str, Model], name: str):
    model = models[name]
    home: Any = open_clip.CLIP(**foreign_worlds.OPEN_CLIP)
    if name.endswith("-hf"):
        home = transformers.AutoModel.from_pretrained(world / name)
    bias = getattr(home, "logit_bias", None)
    assert model.logit_bias == pytest.approx(0 if bias is None else bias.item())
    assert model.logit_scale == pytest.approx(home.logit_scale.exp().item(), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_is_near_float32_and_gives_unit_vectors_of_float32(
    world: Path, models: dict[str, Model], name: str
):
    half = ws.load(world / name, precision="bfloat16")
    for one, two in (
        (half.encode_image(pictures()), models[name].encode_image(pictures())),
        (half.encode_text(SENTENCES), models[name].encode_text(SENTENCES)),
    ):
        assert one.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)
        assert (one * two).sum(axis=1).min() > 0.999
        assert np.abs(one - two).max() > 1e-5, "nothing was computed in bfloat16"


words = st.lists(st.sampled_from(["a", "red", "circle", "unbelievable", "42", "!"]), min_size=1)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(words.map(" ".join), min_size=1, max_size=7), batch_size=st.integers(1, 4))
def test_padding_that_is_cut_off_changes_nothing(
    models: dict[str, Model], texts: list[str], batch_size: int
):
    model = models["ViT-tiny.pt"]
    assert model.engine.text.takes_any_length
    padded = model.tokenize(texts)
    assert padded.shape == (len(texts), foreign_worlds.CONTEXT)
    whole = model.engine.text.run(padded)["embedding"]
    found = model.encode_text(texts, batch_size=batch_size)
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-6)


def test_a_tower_that_looks_at_padding_gets_all_of_it(models: dict[str, Model]):
    model = models["my-siglip-hf"]
    assert not model.engine.text.takes_any_length
    whole = model.engine.text.run(model.tokenize(["rain"]))["embedding"]
    np.testing.assert_allclose(model.encode_text(["rain"]), whole, rtol=0, atol=1e-6)
    cut = model.engine.text.run(model.tokenize(["rain"])[:, :4].copy())["embedding"]
    assert np.abs(cut - whole).max() > 1e-3


def test_without_a_vocabulary_pictures_are_embedded_and_sentences_refused(
    world: Path, models: dict[str, Model], tmp_path: Path
):
    folder = Path(shutil.copytree(world / "my-siglip-hf", tmp_path / "bare"))
    for name in ("tokenizer.json", "spiece.model"):
        (folder / name).unlink(missing_ok=True)
    model = ws.load(folder)
    assert len(model.encode_image(pictures())) == len(pictures())
    for use in (model.encode_text, model.tokenize):
        with pytest.raises(CheckpointError, match="comes without a vocabulary") as caught:
            use(["a cat"])
        assert "overrides=Overrides(tokenizer=FILE)" in caught.value.hint
    given = ws.load(folder, overrides=Overrides(tokenizer=world / "siglip.model"))
    np.testing.assert_array_equal(
        given.encode_text(SENTENCES), models["my-siglip-hf"].encode_text(SENTENCES)
    )


def test_a_vocabulary_of_another_model_is_refused_before_it_is_used(world: Path):
    foreign = Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    with pytest.raises((CheckpointError, InputError), match=r"vocabulary|tokenizer"):
        ws.load(world / "my-siglip-hf", overrides=Overrides(tokenizer=foreign)).encode_text(
            ["a cat"]
        )


def test_what_the_user_knows_better_is_used(world: Path, models: dict[str, Model]):
    name = "my-open-clip"
    other = ws.load(world / name, overrides=Overrides(activation="quick_gelu"))
    difference = other.encode_text(SENTENCES) - models[name].encode_text(SENTENCES)
    assert np.abs(difference).max() > 1e-4
    squashed = Preprocessing(size=foreign_worlds.SIDE, resize="squash")
    other = ws.load(world / name, overrides=Overrides(preprocessing=squashed))
    assert other.source.config.preprocessing == squashed
    difference = other.encode_image(pictures()) - models[name].encode_image(pictures())
    assert np.abs(difference[:4]).max() == 0, "squares are not squashed"
    assert np.abs(difference[4:6]).max() > 1e-4


@pytest.mark.soak  # torch compiles for a minute or two
def test_compiled_towers_say_the_same(world: Path, models: dict[str, Model]):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's compiler uses what newer Pythons deprecate
        compiled = ws.load(world / "ViT-tiny.pt", compile=True)
        found = compiled.encode_text(SENTENCES)
    np.testing.assert_allclose(
        found, models["ViT-tiny.pt"].encode_text(SENTENCES), rtol=0, atol=1e-5
    )


def test_a_number_of_threads_is_that_of_the_whole_process(world: Path):
    before = torch.get_num_threads()
    try:
        ws.load(world / "ViT-tiny.pt", threads=1)
        assert torch.get_num_threads() == 1
        ws.load(world / "ViT-tiny.pt")
        assert torch.get_num_threads() == 1, "it was not asked for"
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "onnxruntime"}, "a checkpoint runs on torch, not on onnxruntime"),
        ({"engine": "tensorrt"}, "there is no engine 'tensorrt'"),
        ({"precision": "float16"}, "there is no precision 'float16'"),
        ({"threads": 0}, "threads are 0; expected 1 or more"),
        ({"device": "gpu"}, "torch knows no device 'gpu'"),
    ],
)
def test_a_wrong_setting_is_the_callers_mistake(
    world: Path, settings: dict[str, Any], message: str
):
    with pytest.raises(InputError, match=message):
        ws.load(world / "ViT-tiny.pt", **settings)


def test_a_device_that_is_not_there_is_named(world: Path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    for device in ("cuda", "meta"):
        with pytest.raises(MissingError, match=f"the device '{device}' cannot be used") as caught:
            ws.load(world / "ViT-tiny.pt", device=device)
        assert caught.value.hint == 'leave device="cpu"'


@pytest.mark.parametrize("setting", [{"compile": True}, {"device": "cpu:0"}])
def test_what_only_torch_has_makes_auto_choose_torch_and_others_refuse(
    tiny: Path, setting: dict[str, Any]
):
    assert ws.load(tiny / "tiny", **setting).engine.name == "torch"
    with pytest.raises(InputError, match="is for the torch engine, not for openvino") as caught:
        ws.load(tiny / "tiny", engine="openvino", **setting)
    assert "auto" in caught.value.hint
    with pytest.raises(MissingError, match="holds no torch weights"):
        ws.load(tiny / "headless", **setting)


def test_bfloat16_of_a_learnt_bundle_is_near_its_float32(tiny: Path):
    half, full = ws.load(tiny / "tiny", precision="bfloat16"), ws.load(tiny / "tiny")
    shown = pictures()  # random convolutions lose more than learnt ones
    assert (half.encode_image(shown) * full.encode_image(shown)).sum(axis=1).min() > 0.95
    texts = ["a red circle", "the big blue cross"]
    assert (half.encode_text(texts) * full.encode_text(texts)).sum(axis=1).min() > 0.999


def test_a_bundle_knows_itself_best(tiny: Path):
    with pytest.raises(InputError, match="overrides are for checkpoints, and this is a bundle"):
        ws.load(tiny / "tiny", overrides=Overrides(activation="gelu"))


def test_a_bundle_that_lost_its_checksums_is_still_called_one(bundle_copy: Path):
    (bundle_copy / "SHA256SUMS").unlink()
    with pytest.raises(BundleError, match="not a bundle: it has no SHA256SUMS") as caught:
        ws.load(bundle_copy)
    assert "half copied" in caught.value.hint


def test_the_name_of_an_architecture_is_told_from_a_model():
    with pytest.raises(InputError, match="vit-b-32 is an architecture, and no weights") as caught:
        ws.load("vit-b-32")
    assert "give a checkpoint of it, or a published one: hf:" in caught.value.hint
    with pytest.raises(InputError, match="neither a shipped model nor a folder or file"):
        ws.load("ViT-B-31")


def test_without_torch_a_checkpoint_says_what_to_install(world: Path):
    code = (
        "import sys; sys.modules['torch'] = None; import wordsight as ws\n"
        "try: ws.load(sys.argv[1])\n"
        "except ws.errors.MissingError as error: print(error, '|', error.hint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(world / "ViT-tiny.pt")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 'to open anything else takes torch | pip install "wordsight[torch]"' in done.stdout


def test_weights_that_are_no_numbers_give_an_error_and_no_vectors(tmp_path: Path):
    model = foreign_worlds.open_clip_model(1)
    with torch.no_grad():
        model.ln_final.bias[0] = float("nan")
    torch.save(model.state_dict(), tmp_path / "damaged.pt")
    opened = ws.load(tmp_path / "damaged.pt")
    assert np.isfinite(opened.encode_image(pictures())).all()
    with pytest.raises(CheckpointError, match=r"damaged\.pt: gives vectors that are not finite"):
        opened.encode_text(["a cat"])
