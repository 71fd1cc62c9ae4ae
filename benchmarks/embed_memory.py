"""Memory of `wordsight embed`: the greatest resident set of a process, by number of pictures.

python benchmarks/embed_memory.py                          # 1,000, 10,000 and 100,000 pictures
python benchmarks/embed_memory.py --pictures 1000 4000

Every picture is a JPEG file of 16 x 16 pixels of its own content, and the tower is an ONNX graph
that projects their mean colour to 512 numbers, so that what is measured is everything but the
tower: finding, reading, decoding, the journal and the file. Each number of pictures runs in two
fresh processes, one that encodes all and one that finds nothing to do. The first line is a process
that encodes 16 pictures: libraries and one batch. Needs the package onnx, pyarrow, and a disk.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from quiet import watched

WIDTH, SIDE, FEW = 512, 16, 16
RUN = """
import json, resource, sys
from pathlib import Path
from wordsight import load
from wordsight.commands.embed import embed
from wordsight.images import find_images
model = load(sys.argv[1], engine="onnxruntime")
done = embed(model, find_images([sys.argv[2]]), sys.argv[3])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"pictures": done.num_pictures, "encoded": done.num_encoded, "mib": peak}))
"""


def write_model(path: Path) -> None:
    """Write mini's bundle with another, tiny image tower."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper

    import wordsight
    from wordsight.bundle import open_bundle, write_bundle
    from wordsight.config import from_dict, to_dict

    mini = open_bundle(Path(wordsight.__file__).parent / "models" / "mini")
    weights = np.random.default_rng(0).standard_normal((3, WIDTH)).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["colour", "weights"], ["long"]),
        helper.make_node("LpNormalization", ["long"], ["embedding"], axis=1, p=2),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    out = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDTH])
    kept = [onnx.numpy_helper.from_array(weights, "weights")]
    graph = helper.make_graph(nodes, "colours", [pixels], [out], kept)
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    said = to_dict(mini.config) | {"name": "colours", "embed_dim": WIDTH, "class_names": []}
    said["preprocessing"]["size"] = SIDE
    config = from_dict(type(mini.config), said, where="mini")
    files = {name: (mini.path / name).read_bytes() for name in ("text.onnx", "tokenizer.json")}
    write_bundle(path, config, {"image.onnx": model.SerializeToString(), **files})


def draw(folder: Path, count: int) -> None:
    """Write pictures, 1,000 to a folder; the number is in a comment, so that no two are equal."""
    from PIL import Image

    kinds: list[bytes] = []
    for colour in range(64):
        image = Image.new("RGB", (SIDE, SIDE), (colour * 4, 255 - colour, colour * 2))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        kinds.append(buffer.getvalue())
    for number in range(count):
        place = folder / f"{number // 1000:04}"
        place.mkdir(parents=True, exist_ok=True)
        comment = f"{number:08}".encode()
        jpeg = kinds[number % len(kinds)]
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (place / f"{number:08}.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])


def measure(model: Path, photos: Path, out: Path) -> tuple[dict[str, float], float]:
    begun = time.perf_counter()
    line = [sys.executable, "-c", RUN, str(model), str(photos), str(out)]
    said = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(said), time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        write_model(base / "model")
        draw(base / "few", FEW)
        least, _ = measure(base / "model", base / "few", base / "few.parquet")
        print(f"{FEW:8,} pictures: {least['mib']:6.0f} MiB")
        for count in options.pictures:
            photos, out = base / f"photos{count}", base / f"{count}.parquet"
            draw(photos, count)
            for kind in ("all new", "nothing new"):
                found, seconds = measure(base / "model", photos, out)
                more = found["mib"] - least["mib"]
                print(
                    f"{count:8,} pictures: {found['mib']:6.0f} MiB, {more:+6.1f} MiB, "
                    f"{1024 * 1024 * more / count:6.0f} bytes a picture, {kind} "
                    f"({found['encoded']:,} encoded), {seconds:.0f} s"
                )


if __name__ == "__main__":
    with watched():
        main()
