"""A run under torchrun itself goes on by itself when a process was killed."""

import os
import subprocess
import sys
from pathlib import Path

import ranks
import small_runs

import worlds

SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from small_runs import PairExamples, read_pairs, train
from ranks import twenty_steps

def on_step(said, num_steps):
    if said["step"] == 10 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)

world, start, out = map(Path, sys.argv[3:])
data = PairExamples(read_pairs(world))
train(data, out=out, config=twenty_steps(start), device="cpu", on_step=on_step)
"""


def test_torchrun_starts_all_again_when_one_was_killed_and_the_bytes_are_the_same(
    tmp_path: Path,
):
    world = worlds.write_world(tmp_path / "world", 120)
    start = small_runs.start_bundle(tmp_path / "start")
    straight = tmp_path / "straight"
    children = ranks.learn(2, world, straight, ranks.twenty_steps(start))
    assert ranks.ended(children) == [0, 0]
    script, here = tmp_path / "script.py", Path(__file__).parent
    script.write_text(SCRIPT)
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    arguments = [here, here.parent, world, start, tmp_path / "run"]
    subprocess.run(
        [sys.executable, "-m", *launch, script, *arguments],
        check=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
    )
    assert small_runs.content(tmp_path / "run") == small_runs.content(straight)
