"""Opening a model by name or place."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from wordsight.bundle import open_bundle
from wordsight.bundle.schema import Precision
from wordsight.bundle.store import CONFIG, SUMS
from wordsight.config import nearest
from wordsight.engine.choice import open_engine
from wordsight.engine.model import Model
from wordsight.engine.settings import EngineSettings
from wordsight.errors import InputError
from wordsight.files import recover_folder

if TYPE_CHECKING:
    from wordsight.checkpoints.checkpoint import Overrides

SHIPPED = ("mini",)
HUB = "hf:"
FIRST_BYTES = 64
"""Of config.json, in which a bundle's says its schema."""


def load(
    model: str | Path,
    *,
    engine: str = "auto",
    threads: int | None = None,
    precision: Precision | None = None,
    compile: bool = False,  # noqa: A002 - what torch calls it
    device: str = "cpu",
    overrides: "Overrides | None" = None,
) -> Model:
    """Open a model: the shipped "mini", a bundle, or a checkpoint of any library.

    A checkpoint is OpenAI's archive, an open_clip file or folder, a folder of Hugging Face
    transformers or arrays of big_vision; nothing in it is ever executed. Nothing is fetched from a
    network, but for a name that starts with "hf:", such as "hf:openai/clip-vit-base-patch32".

    Args:
        model: name of a shipped model, path of a bundle or checkpoint, or "hf:owner/name".
        engine: "auto" (the fastest installed), "onnxruntime", "openvino" or "torch"; checkpoints
            run on torch.
        threads: threads of the engine; as many as there are cores if not given. Torch has one
            number of threads for the whole process, which is set then.
        precision: "bfloat16" is about twice as fast on processors that have it, and for torch and
            OpenVINO; as the model says if not given, which is float32 for all but exported ones.
        compile: compile the towers on their first batch; torch only.
        device: torch device, such as "cuda:0"; torch only.
        overrides: what you know better than the checkpoint's files.

    Raises:
        InputError: if there is no such model, or a setting does not go with the engine.
        BundleError: if the folder is not a whole and sane bundle.
        CheckpointError: if a checkpoint is damaged, hostile, or of no known kind.
        MissingError: if no engine that can run it is installed.
    """
    settings = EngineSettings(threads=threads, precision=precision, compile=compile, device=device)
    path = locate(model)
    if is_bundle(path):
        refuse_overrides(path, overrides)
        bundle = open_bundle(path)
        opened = Model(bundle, open_engine(bundle, engine, settings=settings))
        if bundle.has_text:
            opened.tokenizer  # noqa: B018 - a bundle is checked whole before it is used
        return opened
    from wordsight.engine.checkpoint import open_foreign

    return Model(*open_foreign(path, overrides, engine=engine, settings=settings))


def refuse_overrides(bundle: Path, overrides: "Overrides | None") -> None:
    """Refuse to know better than a bundle.

    Raises:
        InputError: if there are overrides.
    """
    if overrides is not None:
        raise InputError(
            f"{bundle}: overrides are for checkpoints, and this is a bundle",
            hint="give them when you convert or export the checkpoint",
        )


def is_bundle(path: Path) -> bool:
    """Say whether a path shall be opened as a bundle: it is one, or was before a file got lost."""
    if (path / SUMS).is_file():
        return True
    config = path / CONFIG
    if not config.is_file():
        return False
    with config.open("rb") as file:
        return b'"schema"' in file.read(FIRST_BYTES)


def locate(model: str | Path) -> Path:
    """Return the folder or file of a model; one that starts with "hf:" is fetched.

    Raises:
        InputError: if there is neither a shipped model nor a folder or file of that name.
    """
    if isinstance(model, str) and model in SHIPPED:
        return Path(str(files("wordsight"))) / "models" / model
    if isinstance(model, str) and model.startswith(HUB):
        from wordsight.hub import fetch

        return fetch(model)
    path = Path(model)
    recover_folder(path)
    if path.exists():
        return path
    raise _unknown(str(model))


def _unknown(name: str) -> InputError:
    from wordsight.model import zoo

    found = next((known for known in zoo.models() if known.name.lower() == name.lower()), None)
    if found is None:
        return InputError(
            f"{name}: neither a shipped model nor a folder or file", hint=nearest(name, SHIPPED)
        )
    public = f", or a published one: {HUB}{found.hugging_face}" if found.hugging_face else ""
    return InputError(
        f"{name} is an architecture, and no weights of it come with wordsight",
        hint=f"give a checkpoint of it{public}",
    )
