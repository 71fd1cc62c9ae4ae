"""Opening a model by name or place."""

from importlib.resources import files
from pathlib import Path

from wordsight.bundle import open_bundle
from wordsight.config import nearest
from wordsight.engine.choice import open_engine
from wordsight.engine.model import Model
from wordsight.errors import InputError
from wordsight.files import recover_folder

SHIPPED = ("mini",)


def load(model: str | Path, *, engine: str = "auto", threads: int | None = None) -> Model:
    """Open a model: the shipped "mini", or a bundle folder. Nothing is fetched from a network.

    Args:
        model: name of a shipped model, or path of a bundle folder.
        engine: "auto" (the fastest installed), "onnxruntime", "openvino" or "torch".
        threads: threads of the engine; as many as there are cores if not given.

    Raises:
        InputError: if there is neither a shipped model nor a folder of that name.
        BundleError: if the folder is not a whole and sane bundle.
        MissingError: if no engine that can run it is installed.
    """
    return Model(bundle := open_bundle(locate(model)), open_engine(bundle, engine, threads=threads))


def locate(model: str | Path) -> Path:
    """Return the folder of a model.

    Raises:
        InputError: if there is neither a shipped model nor a folder of that name.
    """
    if isinstance(model, str) and model in SHIPPED:
        return Path(str(files("wordsight"))) / "models" / model
    path = Path(model)
    recover_folder(path)
    if not path.is_dir():
        raise InputError(
            f"{model}: neither a shipped model nor a folder", hint=nearest(str(model), SHIPPED)
        )
    return path
