"""Loss and gradients of one large batch, tile by tile, against open_clip's ClipLoss.

python benchmarks/contrastive_loss.py            # 32,768 pairs, 512 wide; open_clip takes 17 GB
python benchmarks/contrastive_loss.py --pairs 8192

Each side runs alone in a process of its own; memory is the peak of resident memory over that of
the process before its first step.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

from quiet import watched

WIDTH = 512
SCALE = 100.0


def measure(side: str, pairs: int, rounds: int) -> dict[str, object]:
    import torch
    import torch.nn.functional as F

    torch.manual_seed(0)
    images = F.normalize(torch.randn(pairs, WIDTH), dim=-1).requires_grad_()
    texts = F.normalize(torch.randn(pairs, WIDTH), dim=-1).requires_grad_()
    log_scale = torch.tensor(SCALE).log().requires_grad_()
    if side == "open_clip":
        from open_clip.loss import ClipLoss

        loss = ClipLoss()

        def step() -> torch.Tensor:
            return loss(images, texts, log_scale.exp())
    else:
        from wordsight.model.losses import info_nce

        def step() -> torch.Tensor:
            return info_nce(images, texts, log_scale)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times, value = [], 0.0
    for _ in range(rounds):
        begun = time.perf_counter()
        result = step()
        result.backward()
        times.append(time.perf_counter() - begun)
        value = float(result.detach())
        images.grad = texts.grad = log_scale.grad = None
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"seconds": statistics.median(times), "peak_mb": peak, "value": value}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=32768)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=("open_clip", "wordsight"))
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.pairs, options.rounds)))
        return
    found = {}
    for side in ("wordsight", "open_clip"):
        arguments = ["--side", side, "--pairs", str(options.pairs), "--rounds", str(options.rounds)]
        done = subprocess.run(
            [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True
        )
        found[side] = json.loads(done.stdout)
        row = found[side]
        print(
            f"{side:10} {row['seconds']:7.2f} s  {row['peak_mb']:8.0f} MB  loss {row['value']:.6f}"
        )
    ours, theirs = found["wordsight"], found["open_clip"]
    print(
        f"speed x{theirs['seconds'] / ours['seconds']:.2f}, "
        f"memory 1/{theirs['peak_mb'] / ours['peak_mb']:.1f}"
    )


if __name__ == "__main__":
    with watched():
        main()
