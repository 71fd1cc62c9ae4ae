"""A bundle comes back as it was written, and every kind of damage is named before anything runs."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import worlds
from tally import COUNT
from wordsight.bundle import Bundle, BundleConfig, open_bundle, write_bundle
from wordsight.bundle.prompts import read_prompts
from wordsight.errors import BundleError, CheckpointError, ConfigError, InputError
from wordsight.files import sha256

FILES = (
    "README.md",
    "SHA256SUMS",
    "config.json",
    "image.onnx",
    "model.safetensors",
    "prompts.toml",
    "text.onnx",
    "tokenizer.json",
)


def expect_damage(folder: Path, *names: str) -> str:
    """Open the folder, expecting an error that names the folder and one of the files."""
    COUNT["damaged folders"] += 1
    with pytest.raises(BundleError) as caught:
        open_bundle(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert any(name in message for name in names), message
    return message


def test_what_is_written_opens_the_same(tiny: Path, tmp_path: Path):
    files = {
        name: (tiny / "tiny" / name).read_bytes()
        for name in FILES
        if name not in ("SHA256SUMS", "config.json")
    }
    config = worlds.config("名前")
    written = write_bundle(tmp_path / "out", config, files, run={"note.txt": "è"})
    opened = open_bundle(tmp_path / "out")
    assert isinstance(opened, Bundle)
    assert opened == written
    assert opened.config == config
    assert opened.prompts().of("en") == ("a {}", "a photo of a {}.")
    assert opened.prompts().of("ja") == ("{}",)
    assert opened.tokenizer().to_bytes() == worlds.tokenizer_json()
    assert (tmp_path / "out" / "run" / "note.txt").read_text(encoding="utf-8") == "è"
    for name, digest in opened.files.items():
        assert sha256(tmp_path / "out" / name) == digest
        assert name == "config.json" or (tmp_path / "out" / name).read_bytes() == files[name]


def test_the_checksums_are_in_the_format_of_sha256sum(tiny: Path):
    import subprocess

    if not shutil.which("sha256sum"):
        pytest.skip("this machine has no sha256sum")
    result = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"],
        cwd=tiny / "tiny",
        check=False,
    )
    assert result.returncode == 0


def test_a_file_cut_short_anywhere_is_named(bundle_copy: Path):
    rng = random.Random(1)
    for number in range(64):
        name = FILES[number % len(FILES)]
        path = bundle_copy / name
        content = path.read_bytes()
        path.write_bytes(content[: rng.randrange(len(content))])
        expect_damage(bundle_copy, name)
        path.write_bytes(content)
    open_bundle(bundle_copy)


def test_one_flipped_bit_anywhere_is_named(bundle_copy: Path):
    rng = random.Random(2)
    for number in range(256):
        name = FILES[number % len(FILES)]
        path = bundle_copy / name
        content = path.read_bytes()
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        expect_damage(bundle_copy, *(FILES if name == "SHA256SUMS" else (name,)))
        path.write_bytes(content)
    open_bundle(bundle_copy)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle_copy: Path, name: str):
    (bundle_copy / name).unlink()
    expect_damage(bundle_copy, name)


@pytest.mark.parametrize("name", FILES)
def test_a_link_or_a_folder_in_the_place_of_a_file_is_refused(
    bundle_copy: Path, tmp_path: Path, name: str
):
    original = (bundle_copy / name).rename(tmp_path / "elsewhere")
    (bundle_copy / name).symlink_to(original)
    expect_damage(bundle_copy, name)
    (bundle_copy / name).unlink()
    (bundle_copy / name).mkdir()
    expect_damage(bundle_copy, name)


def test_a_pipe_in_the_place_of_a_file_is_refused_without_waiting(bundle_copy: Path):
    (bundle_copy / "README.md").unlink()
    os.mkfifo(bundle_copy / "README.md")
    expect_damage(bundle_copy, "README.md")


def test_two_swapped_files_are_named(bundle_copy: Path):
    for one, two in (("image.onnx", "text.onnx"), ("README.md", "prompts.toml")):
        for name, other in ((one, two), (two, one)):
            (bundle_copy / name).rename(bundle_copy / "aside")
            (bundle_copy / other).rename(bundle_copy / name)
            (bundle_copy / "aside").rename(bundle_copy / other)
            if name == one:
                expect_damage(bundle_copy, one, two)
    open_bundle(bundle_copy)


def test_two_swapped_graphs_with_fitting_checksums_are_named_when_they_run(bundle_copy: Path):
    from wordsight import load
    from wordsight.errors import WordsightError

    (bundle_copy / "model.safetensors").unlink()
    (bundle_copy / "image.onnx").rename(bundle_copy / "aside")
    (bundle_copy / "text.onnx").rename(bundle_copy / "image.onnx")
    (bundle_copy / "aside").rename(bundle_copy / "text.onnx")
    worlds.rewrite_sums(bundle_copy)
    for engine in ("onnxruntime", "openvino"):
        with pytest.raises(WordsightError, match=r"text\.onnx"):
            load(bundle_copy, engine=engine).encode_text(["a red circle"])


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{0}  ../config.json", "names '../config.json'"),
        ("{0}  /etc/passwd", "names '/etc/passwd'"),
        ("{0}  run/report.html", "names 'run/report.html'"),
        ("{0}  README.md", "names 'README.md'"),  # a second time
        ("{0}  SHA256SUMS", "names 'SHA256SUMS'"),
        ("{0}  model.bin", "names 'model.bin'"),
        ("{0} *README.md", "is not 'checksum  name'"),
        ("xyz  README.md", "is not 'checksum  name'"),
        ("", "is not 'checksum  name'"),
        ("\x00" * 64, "is not 'checksum  name'"),
    ],
)
def test_a_strange_line_of_checksums_is_refused(bundle_copy: Path, line: str, what: str):
    with (bundle_copy / "SHA256SUMS").open("a") as file:
        file.write(line.format("0" * 64) + "\n")
    assert what in expect_damage(bundle_copy, "SHA256SUMS")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_checksums_without_a_file_every_bundle_has_are_refused(bundle_copy: Path, name: str):
    sums = bundle_copy / "SHA256SUMS"
    lines = [line for line in sums.read_text().splitlines(True) if name not in line]
    sums.write_text("".join(lines))
    expect_damage(bundle_copy, name)


def test_huge_checksums_and_settings_are_refused_before_they_are_read(bundle_copy: Path):
    sums = bundle_copy / "SHA256SUMS"
    good = sums.read_bytes()
    os.truncate(sums, 10 << 30)  # sparse: costs no disk, and reading it would be noticed
    assert "larger than" in expect_damage(bundle_copy, "SHA256SUMS")
    sums.write_bytes(good)
    config = bundle_copy / "config.json"
    config.write_text(config.read_text() + " " * (1 << 20))
    worlds.rewrite_sums(bundle_copy)
    assert "larger than" in expect_damage(bundle_copy, "config.json")


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda c: {**c, "schema": 2}, "schema 2 is not one"),
        (lambda c: {**c, "schema": "1"}, "schema '1' is not one"),
        (lambda c: {k: v for k, v in c.items() if k != "schema"}, "schema None is not one"),
        (lambda c: {**c, "colour": 1}, "unknown key 'colour'"),
        (lambda c: {k: v for k, v in c.items() if k != "embed_dim"}, "'embed_dim' is missing"),
        (lambda c: {**c, "embed_dim": 0}, "embed_dim must be positive"),
        (lambda c: {**c, "embed_dim": 16.5}, "embed_dim: expected int"),
        (lambda c: {**c, "similarity": {"scale": 0}}, "scale must be a finite number above 0"),
        (lambda c: {**c, "similarity": {"scale": 10**400}}, "the number is too large"),
        (lambda c: {**c, "similarity": {"scale": 1, "bias": "x"}}, "bias: expected float"),
        (lambda c: {**c, "preprocessing": {"size": 10**9}}, "size must be 1 to 4096"),
        (lambda c: {**c, "preprocessing": {"size": -1}}, "size must be 1 to 4096"),
        (lambda c: {**c, "preprocessing": {"std": [0, 1, 1]}}, "std must be"),
        (lambda c: {**c, "tokenizer": {"cleaning": "rm -rf"}}, "is not allowed"),
        (lambda c: {**c, "tokenizer": 5}, "expected a table"),
        (lambda c: {**c, "class_names": "abc"}, "expected a list"),
        (lambda c: [c], "expected a JSON object"),
    ],
)
def test_a_wrong_setting_is_named(
    bundle_copy: Path, edit: Callable[[dict[str, Any]], object], what: str
):
    path = bundle_copy / "config.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
    worlds.rewrite_sums(bundle_copy)
    assert what in expect_damage(bundle_copy, "config.json")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ('{"schema": 1, "schema": 1}', "key 'schema' stands twice"),
        ('{"schema": 1, "similarity": {"scale": 1, "scale": 2}}', "key 'scale' stands twice"),
        ('{"schema": NaN}', "NaN is not allowed"),
        ('{"schema": -Infinity}', "-Infinity is not allowed"),
        ("[" * 100_000, "not valid JSON"),
        ('{"schema": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"schema": "\ud800"}', "is not one this version"),
    ],
)
def test_settings_that_are_not_json_are_refused(bundle_copy: Path, text: str, what: str):
    (bundle_copy / "config.json").write_bytes(text.encode(errors="surrogatepass"))
    worlds.rewrite_sums(bundle_copy)
    assert what in expect_damage(bundle_copy, "config.json")


def test_a_number_beyond_floats_is_refused(bundle_copy: Path):
    path = bundle_copy / "config.json"
    path.write_text(path.read_text().replace('"scale": 20.0', '"scale": 1e999'))
    worlds.rewrite_sums(bundle_copy)
    assert "must be a finite number" in expect_damage(bundle_copy, "config.json")


def test_a_bundle_without_any_weights_is_refused(bundle_copy: Path):
    (bundle_copy / "model.safetensors").unlink()
    (bundle_copy / "text.onnx").unlink()
    worlds.rewrite_sums(bundle_copy)
    assert "holds no weights" in expect_damage(bundle_copy, "image.onnx")


def test_a_file_without_a_checksum_is_not_part_of_the_bundle(bundle_copy: Path):
    (bundle_copy / "model.safetensors").unlink()
    worlds.rewrite_sums(bundle_copy)
    (bundle_copy / "model.safetensors").write_bytes(b"whatever")
    (bundle_copy / "run.py").write_text("raise SystemExit")
    assert not open_bundle(bundle_copy).has_weights


def test_a_folder_that_is_not_a_bundle_is_never_replaced(tmp_path: Path):
    precious = tmp_path / "photos"
    precious.mkdir()
    (precious / "a.jpg").write_bytes(b"precious")
    with pytest.raises(BundleError, match="is not a model folder") as caught:
        write_bundle(precious, worlds.config(), {})
    assert "choose another --out" in caught.value.hint
    assert (precious / "a.jpg").read_bytes() == b"precious"
    with pytest.raises(BundleError, match="is not a model folder"):
        write_bundle(precious / "a.jpg", worlds.config(), {})
    assert list(tmp_path.iterdir()) == [precious]


def test_a_bundle_or_an_empty_folder_is_replaced(bundle_copy: Path, tmp_path: Path):
    files = {
        n: (bundle_copy / n).read_bytes() for n in ("image.onnx", "text.onnx", "tokenizer.json")
    }
    (tmp_path / "empty").mkdir()
    for path in (bundle_copy, tmp_path / "empty"):
        write_bundle(path, worlds.config("second"), files)
        assert open_bundle(path).config.name == "second"
        assert not (path / "README.md").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_file_that_no_bundle_has_is_a_mistake_of_the_caller(tmp_path: Path):
    for name in ("../x", "config.json", "weights.bin"):
        with pytest.raises(ValueError, match="not files of a bundle"):
            write_bundle(tmp_path / "out", worlds.config(), {name: b""})
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_whose_writer_died_between_two_renames_opens(bundle_copy: Path):
    from wordsight import load

    old = bundle_copy.rename(bundle_copy.parent / f".{bundle_copy.name}.old")
    assert load(bundle_copy).name == "tiny"
    assert not old.exists()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", None),
        ("x = 1", "expected a table"),
        ("[en]", "needs templates"),
        ("[en]\ntemplates = []", "needs templates"),
        ('[en]\ntemplates = "a {}"', "needs templates"),
        ('[en]\ntemplates = ["a photo"]', "must hold {} exactly once"),
        ('[en]\ntemplates = ["{} {}"]', "must hold {} exactly once"),
        ("[en]\ntemplates = [3]", "must hold {} exactly once"),
        ("[en\n", "not valid TOML"),
    ],
)
def test_templates_of_another_form_are_named(tmp_path: Path, content: str, what: str | None):
    path = tmp_path / "prompts.toml"
    path.write_text(content)
    if what is None:
        assert read_prompts(path).of("en") == ("{}",)
        return
    with pytest.raises(ConfigError) as caught:
        read_prompts(path)
    assert str(path) in str(caught.value)
    assert what in str(caught.value)


def test_a_config_refuses_what_its_types_cannot_say():
    with pytest.raises(ValueError, match="embed_dim must be positive"):
        BundleConfig(
            name="x",
            embed_dim=-1,
            similarity=worlds.config().similarity,
            preprocessing=worlds.PREPROCESSING,
            tokenizer=worlds.RULES,
        )


def test_opening_what_is_not_there_names_it(tmp_path: Path):
    from wordsight import load

    with pytest.raises(BundleError, match="there is no such folder"):
        open_bundle(tmp_path / "absent")
    with pytest.raises(InputError, match="neither a shipped model nor a folder"):
        load(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="no checkpoint of a known kind: expected a bundle"):
        load(tmp_path)
