"""How close `wordsight plan` comes: plan a run, do it, compare the seconds.

python benchmarks/plan_accuracy.py ../shared/data/coco2k_captions --batch-size 64 --epochs 1
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from quiet import watched

from wordsight.data.example_sources import open_examples
from wordsight.training.contrastive.config import TrainConfig
from wordsight.training.contrastive.planning import plan_training
from wordsight.training.contrastive.train import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs")
    parser.add_argument("--architecture", default="tiny-rn-64")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--micro-batch", type=int, default=0)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--run", action="store_true", help="only the run, for a process of its own")
    options = parser.parse_args()
    config = TrainConfig(
        architecture=options.architecture,
        batch_size=options.batch_size,
        micro_batch=options.micro_batch,
        epochs=options.epochs,
        workers=options.workers,
        vocab_size=2048,
        max_bad=10,
    )
    examples = open_examples(options.pairs, max_bad=10)
    if options.run:
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            train(examples, out=Path(folder) / "run", config=config)
        taken_s = time.perf_counter() - begun
        print(taken_s)
        return
    begun = time.perf_counter()
    plan = plan_training(config, examples=examples)
    planning_s = time.perf_counter() - begun
    again = [sys.executable, *sys.argv, "--run"]
    done = subprocess.run(again, capture_output=True, text=True, check=True)
    taken_s = float(done.stdout)
    print(f"planned {plan.seconds:.1f} s in {planning_s:.1f} s; {plan.calibration}")
    print(f"taken {taken_s:.1f} s for {plan.num_steps} steps; {plan.seconds / taken_s:.2f} of it")


if __name__ == "__main__":
    with watched():
        main()
