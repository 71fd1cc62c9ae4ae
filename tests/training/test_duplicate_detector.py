"""The network that knows copies: its parts, its file, and that it learns."""

import hashlib
import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

torch = pytest.importorskip("torch")

from wordsight.errors import BundleError, DataError  # noqa: E402
from wordsight.training.duplicate_detector.detector import DuplicateDetector  # noqa: E402
from wordsight.training.duplicate_detector.learning import (  # noqa: E402
    LearningConfig,
    learn_detector,
)
from wordsight.training.duplicate_detector.network import (  # noqa: E402
    CopyNetwork,
    NetworkConfig,
    NormedConv,
)
from wordsight.training.duplicate_detector.variations import pixels, plain, vary  # noqa: E402

SMALL = NetworkConfig(image_size=32, widths=(12, 24, 48), embed_dim=48)


def scene(seed):
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (80, 64), tuple(random.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(8):
        x, y = random.integers(-16, 80), random.integers(-16, 64)
        w, h = random.integers(8, 50, 2)
        shape = pen.ellipse if random.random() < 0.5 else pen.rectangle
        box = (int(x), int(y), int(x + w), int(y + h))
        shape(box, fill=tuple(random.integers(0, 256, 3).tolist()))
    return image


@pytest.fixture(scope="module")
def detector():
    pictures = [scene(seed) for seed in range(400)]
    config = LearningConfig(steps=60, batch_size=32, learning_rate=3e-3, network=SMALL)
    return learn_detector(pictures, config)


def test_a_normed_convolution_is_the_equation_of_weight_normalisation():
    conv = NormedConv(3, 5, 1.7).double()
    torch.manual_seed(0)
    torch.nn.init.normal_(conv.direction)
    torch.nn.init.normal_(conv.gain)
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    for out in range(5):
        v = conv.direction[out]
        weight = (conv.gain[out] * v / math.sqrt(float((v**2).detach().sum())))[None]
        expected = torch.nn.functional.conv2d(x, weight, padding=1)[:, 0]
        torch.testing.assert_close(conv(x)[:, out], expected)


def test_vectors_have_length_one_and_do_not_depend_on_the_batch():
    network = CopyNetwork(SMALL).eval()
    network.initialise(torch.Generator().manual_seed(0))
    x = torch.rand(6, 3, 32, 32) * 2 - 1
    together = network(x)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(network(x[2:3]), together[2:3], rtol=1e-4, atol=1e-5)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())


def test_one_seed_draws_one_variation_and_never_the_same_twice():
    image = scene(0)
    first, second = np.random.default_rng(1), np.random.default_rng(1)
    copies = [vary(image, 64, first) for _ in range(50)]
    again = [vary(image, 64, second) for _ in range(50)]
    assert all(copy.size == (64, 64) and copy.mode == "RGB" for copy in copies)
    assert [copy.tobytes() for copy in copies] == [copy.tobytes() for copy in again]
    assert len({hashlib.sha256(copy.tobytes()).digest() for copy in copies}) > 45


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (9, 9)])
def test_a_picture_of_any_shape_can_be_varied(size):
    image, random = Image.new("RGB", size, (9, 99, 199)), np.random.default_rng(0)
    for _ in range(40):
        assert vary(image, 32, random).size == (32, 32)


def test_pixels_lie_between_minus_one_and_one():
    found = pixels([plain(scene(1), 32), Image.new("RGB", (32, 32), "white")])
    assert found.shape == (2, 3, 32, 32)
    assert found.dtype == np.float32
    assert found.min() >= -1
    assert found[1].min() == 1.0


def test_it_learns_to_find_the_original_of_a_changed_copy(detector):
    report = detector.report
    assert report.proxy_accuracy.n == 40
    assert report.proxy_accuracy.value > 0.8  # guessing finds 2.5 %
    untouched = CopyNetwork(SMALL)
    untouched.initialise(torch.Generator().manual_seed(0))
    random = np.random.default_rng(5)
    pictures = [scene(5000 + seed) for seed in range(60)]
    copies = [vary(picture, 64, random) for picture in pictures]

    def compare(one):
        cosines = one.encode(copies) @ one.encode(pictures).T
        others = np.where(np.eye(60), -1, cosines).max(axis=1)
        return (np.diag(cosines) > others).mean(), (np.diag(cosines) - others).mean()

    share, margin = compare(detector)
    assert share > 0.8
    assert margin > compare(DuplicateDetector(untouched, report))[1] + 0.1


def test_a_detector_comes_back_from_its_file(detector, tmp_path):
    detector.save(tmp_path / "d.safetensors")
    opened = DuplicateDetector.load(tmp_path / "d.safetensors")
    pictures = [scene(seed) for seed in range(3)]
    np.testing.assert_array_equal(opened.encode(pictures), detector.encode(pictures))
    assert opened.report == detector.report
    assert detector.encode([]).shape == (0, 48)


def test_one_seed_gives_one_detector():
    config = LearningConfig(steps=2, batch_size=8, network=SMALL, seed=3)
    pictures = [scene(seed) for seed in range(40)]
    first, second = (learn_detector(pictures, config) for _ in range(2))
    np.testing.assert_array_equal(first.encode(pictures), second.encode(pictures))


def test_a_file_that_is_no_detector_is_refused(detector, tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "d.safetensors"
    with pytest.raises(BundleError, match="not the file"):
        DuplicateDetector.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(BundleError, match="not the file"):
        DuplicateDetector.load(path)
    save_file({"w": torch.zeros(1)}, path)
    with pytest.raises(BundleError, match="another kind"):
        DuplicateDetector.load(path)
    detector.save(path)
    path.write_bytes(path.read_bytes().replace(b"embed_dim", b"embed_dam"))
    with pytest.raises(BundleError, match="damaged duplicate detector"):
        DuplicateDetector.load(path)


def test_too_few_pictures_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"3 of 4 pictures can be read; a detector needs 32"):
        learn_detector([scene(0), scene(1), scene(2), tmp_path / "missing.png"])


@pytest.mark.parametrize("settings", [{"steps": 0}, {"batch_size": 1}, {"max_pictures": 31}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match="steps must be 1"):
        LearningConfig(**settings)


@pytest.mark.parametrize("settings", [{"image_size": 60}, {"widths": ()}, {"embed_dim": 0}])
def test_shapes_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match=r"halved|positive"):
        NetworkConfig(**settings)
