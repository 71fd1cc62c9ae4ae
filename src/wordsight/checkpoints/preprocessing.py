"""How two other libraries write down the preparation of pictures.

Hugging Face's image processors cut the middle out of a picture half a pixel elsewhere: where a
side is longer than the crop by an odd number of pixels they round the margin down, and torchvision
rounds it to even, so a surplus of 3, 7, 11, ... pixels gives a crop shifted by one. Measured with
transformers 5.23, both of its back ends; its default one also resizes with torchvision's own
kernels, one grey level from Pillow's. OpenAI trained with torchvision on Pillow pictures, and that
is what wordsight does whatever file the numbers come from.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from wordsight.errors import CheckpointError
from wordsight.images import Preprocessing
from wordsight.images.presets import OPENAI, SIGLIP

_RESAMPLE: Mapping[int, Literal["bicubic", "bilinear"]] = {2: "bilinear", 3: "bicubic"}
_RESIZE_MODES = ("shortest", "longest", "squash")
_CLIP_PROCESSOR, _SIGLIP_PROCESSOR = "CLIPImageProcessor", "SiglipImageProcessor"
_LARGEST = 1e30
_HUGGING_FACE = "preprocessor_config.json"
_OPEN_CLIP = "preprocess_cfg"


def from_preprocessor_config(values: Mapping[str, Any]) -> Preprocessing:
    """Return what the preprocessor_config.json of a CLIP or SigLIP folder describes.

    The layout of processor_config.json, which nests it under `image_processor`, is read too.

    Raises:
        CheckpointError: naming the key and its value, for anything wordsight does not do.
    """
    nested: Any = values.get("image_processor", values)
    if not isinstance(nested, Mapping):
        raise _refusal(_HUGGING_FACE, "image_processor", nested, "an object")
    values = cast(Mapping[str, Any], nested)
    kind = str(values.get("image_processor_type") or values.get("feature_extractor_type") or "")
    base = SIGLIP if kind.lower().startswith("siglip") else OPENAI
    for key, only in (("do_resize", True), ("do_rescale", True), ("do_pad", False)):
        if values.get(key) not in (None, only):
            raise _refusal(_HUGGING_FACE, key, values[key], str(only).lower())
    if values.get("max_num_patches") is not None:
        raise _refusal(
            _HUGGING_FACE, "max_num_patches", values["max_num_patches"], "a fixed size (no NaFlex)"
        )
    factor = values.get("rescale_factor")
    if factor is not None and not (_is_number(factor) and math.isclose(factor, 1 / 255)):
        raise _refusal(_HUGGING_FACE, "rescale_factor", factor, "1/255")
    resample = values.get("resample")
    if resample is not None and not (isinstance(resample, int) and resample in _RESAMPLE):
        raise _refusal(_HUGGING_FACE, "resample", resample, "2 (bilinear) or 3 (bicubic)")
    size, resize = _hugging_face_size(values, base)
    mean, std = _hugging_face_statistics(values, base)
    return _checked(
        _HUGGING_FACE,
        base,
        size=size,
        resize=resize,
        interpolation=_RESAMPLE[resample] if resample is not None else "bicubic",
        mean=mean,
        std=std,
    )


def to_preprocessor_config(preprocessing: Preprocessing, *, is_siglip: bool) -> dict[str, Any]:
    """Return the content of a preprocessor_config.json that says the same to transformers.

    Raises:
        CheckpointError: for `longest`, which its image processors for CLIP cannot do.
    """
    size = preprocessing.size
    (resample,) = (k for k, name in _RESAMPLE.items() if name == preprocessing.interpolation)
    values: dict[str, Any] = {
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "rescale_factor": 1 / 255,
        "resample": resample,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
    }
    if preprocessing.resize == "longest":
        raise CheckpointError(
            "preprocessing: resize 'longest' has no counterpart in preprocessor_config.json; "
            "expected 'shortest' or 'squash'",
            hint="write the format open_clip, which knows it",
        )
    if preprocessing.resize == "squash":
        kind = _SIGLIP_PROCESSOR if is_siglip else _CLIP_PROCESSOR
        values |= {"image_processor_type": kind, "size": {"height": size, "width": size}}
        return values if is_siglip else values | {"do_center_crop": False}
    return values | {
        "image_processor_type": _CLIP_PROCESSOR,
        "size": {"shortest_edge": size},
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
    }


def from_preprocess_cfg(values: Mapping[str, Any], image_size: int) -> Preprocessing:
    """Return what `preprocess_cfg` of an open_clip_config.json describes.

    As in open_clip, what is not said is OpenAI's, keys it does not know are passed over, and the
    size is the model's own.

    Raises:
        CheckpointError: naming the key and its value, for anything wordsight does not do.
    """
    given = {key: value for key, value in values.items() if value is not None}
    if given.get("mode", "RGB") != "RGB":
        raise _refusal(_OPEN_CLIP, "mode", given["mode"], "'RGB'")
    interpolation = given.get("interpolation", OPENAI.interpolation)
    if interpolation not in ("bicubic", "bilinear", "random"):
        raise _refusal(_OPEN_CLIP, "interpolation", interpolation, "bicubic or bilinear")
    resize = given.get("resize_mode", OPENAI.resize)
    if resize not in _RESIZE_MODES:
        raise _refusal(_OPEN_CLIP, "resize_mode", resize, ", ".join(_RESIZE_MODES))
    fill = given.get("fill_color", OPENAI.fill)
    if not isinstance(fill, int) or isinstance(fill, bool):
        raise _refusal(_OPEN_CLIP, "fill_color", fill, "a whole number from 0 to 255")
    return _checked(
        _OPEN_CLIP,
        OPENAI,
        size=image_size,
        resize=resize,
        # `random` is a way of training; open_clip evaluates such models with bicubic.
        interpolation="bilinear" if interpolation == "bilinear" else "bicubic",
        mean=_three(_OPEN_CLIP, "mean", given.get("mean", OPENAI.mean)),
        std=_three(_OPEN_CLIP, "std", given.get("std", OPENAI.std)),
        fill=fill,
    )


def to_preprocess_cfg(preprocessing: Preprocessing) -> dict[str, Any]:
    """Return the `preprocess_cfg` of an open_clip_config.json that says the same."""
    return {
        "size": preprocessing.size,
        "mode": "RGB",
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "interpolation": preprocessing.interpolation,
        "resize_mode": preprocessing.resize,
        "fill_color": preprocessing.fill,
    }


def _hugging_face_size(
    values: Mapping[str, Any], base: Preprocessing
) -> tuple[int, Literal["shortest", "squash"]]:
    """Return the side of the square, and how the picture is made to fit it."""
    given = values.get("size")
    if given is None:
        given = base.size if base is OPENAI else {"height": base.size, "width": base.size}
    if isinstance(given, Mapping):
        given = cast(Mapping[str, Any], given)
        if given.get("height") is not None and given.get("shortest_edge") is None:
            side = _side("size", given)
            if values.get("do_center_crop") and _crop(values, side) != side:
                raise _refusal(_HUGGING_FACE, "crop_size", values.get("crop_size"), f"{side}")
            return side, "squash"
        if given.get("longest_edge") is not None or given.get("shortest_edge") is None:
            expected = "shortest_edge, or height and width"
            raise _refusal(_HUGGING_FACE, "size", dict(given), expected)
        given = given["shortest_edge"]
    if not isinstance(given, int) or isinstance(given, bool):
        raise _refusal(_HUGGING_FACE, "size", given, "a whole number of pixels")
    does_crop = values.get("do_center_crop")
    if does_crop is False or (does_crop is None and base is SIGLIP):
        raise _refusal(_HUGGING_FACE, "do_center_crop", does_crop, "true with size shortest_edge")
    if _crop(values, given) != given:
        expected = f"{given}, as size: wordsight crops to the size it resizes to"
        raise _refusal(_HUGGING_FACE, "crop_size", values.get("crop_size"), expected)
    return given, "shortest"


def _crop(values: Mapping[str, Any], default: int) -> int:
    given = values.get("crop_size")
    if given is None:
        return default
    if isinstance(given, Mapping):
        return _side("crop_size", cast(Mapping[str, Any], given))
    if not isinstance(given, int):
        raise _refusal(_HUGGING_FACE, "crop_size", given, "a whole number of pixels")
    return given


def _side(key: str, given: Mapping[str, Any]) -> int:
    height, width = given.get("height"), given.get("width")
    if not isinstance(height, int) or isinstance(height, bool) or height != width:
        raise _refusal(_HUGGING_FACE, key, dict(given), "a square: height and width alike")
    return height


Triple = tuple[float, float, float]


def _hugging_face_statistics(
    values: Mapping[str, Any], base: Preprocessing
) -> tuple[Triple, Triple]:
    if values.get("do_normalize") is False:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, std = values.get("image_mean"), values.get("image_std")
    return (
        base.mean if mean is None else _three(_HUGGING_FACE, "image_mean", mean),
        base.std if std is None else _three(_HUGGING_FACE, "image_std", std),
    )


def _three(where: str, key: str, value: Any) -> Triple:
    """Return one number for each of red, green and blue; a single one stands for all."""
    is_list = isinstance(value, list | tuple)
    items: list[Any] = list(cast(Sequence[Any], value)) if is_list else [value] * 3
    if len(items) != 3 or not all(map(_is_number, items)):
        raise _refusal(where, key, cast(object, value), "3 numbers")
    return float(items[0]), float(items[1]), float(items[2])


def _is_number(value: Any) -> bool:
    is_plain = isinstance(value, int | float) and not isinstance(value, bool)
    return is_plain and abs(value) < _LARGEST  # NaN too is not below it


def _checked(where: str, base: Preprocessing, **changes: Any) -> Preprocessing:
    try:
        return replace(base, **changes)
    except ValueError as error:
        raise CheckpointError(f"{where}: {error}") from None


def _refusal(where: str, key: str, value: object, expected: str) -> CheckpointError:
    shown = repr(value)[:80]
    return CheckpointError(
        f"{where}: {key} is {shown}, which wordsight cannot do; expected {expected}",
        hint="state the preparation yourself if you know what the model was trained with",
    )
