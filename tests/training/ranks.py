"""Runs of several processes, started as torchrun would start them."""

import faulthandler
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# loaded here, before the processes part: in each of them it would take two seconds
import torch._dynamo
import torch.distributed.fsdp
import torch.distributed.tensor  # noqa: F401
from small_runs import finished, in_child, run, settings

from wordsight.training.contrastive.config import TrainConfig

DEADLINE_S = 90.0


def twenty_steps(start: Path, **changes: Any) -> TrainConfig:
    """Twenty steps of sixteen pairs, four at a time.

    A bias of attention keys has no gradient but rounding, which Adam would blow up to a step of
    full size: with so large an epsilon it does not.
    """
    given = {"epochs": 3.28, "evaluate_every": 0.0, "micro_batch": 4, "epsilon": 1e-3}
    return settings(start, **{**given, **changes})


def learn(count: int, world: Path, out: Path, config: TrainConfig) -> list[int]:
    """Start a run of several processes."""
    return start(count, lambda rank: run(world, out, config), errors_of(out))


def errors_of(out: Path) -> Path:
    return out.parent / f"{out.name}-errors"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def start(count: int, work: Callable[[int], None], errors: Path) -> list[int]:
    """Start `work(rank)` in processes of their own; what each raises is written to `errors`."""
    errors.mkdir(parents=True, exist_ok=True)
    port = free_port()

    def one(rank: int) -> Callable[[], None]:
        def run() -> None:
            os.environ.update(
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                WORLD_SIZE=str(count),
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=str(port),
                GLOO_SOCKET_IFNAME="lo",
            )
            faulthandler.dump_traceback_later(DEADLINE_S * 2 / 3)  # where it hangs, if it does
            try:
                work(rank)
            except Exception as error:
                (errors / f"{rank}.txt").write_text(f"{type(error).__name__}: {error}")
                raise

        return run

    return [in_child(one(rank)) for rank in range(count)]


def ended(children: list[int]) -> list[int]:
    """Wait for all, and return their exit codes; what hangs is killed, which counts as -9."""
    begun, codes = time.monotonic(), dict[int, int]()
    while len(codes) < len(children) and time.monotonic() - begun < DEADLINE_S:
        for child in children:
            if child not in codes:
                found, status = os.waitpid(child, os.WNOHANG)
                if found:
                    codes[child] = os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    for child in children:
        if child not in codes:
            os.kill(child, signal.SIGKILL)
            codes[child] = finished(child)
    return [codes[child] for child in children]


def messages(errors: Path, count: int) -> list[str]:
    """Return what each rank raised."""
    return [(errors / f"{rank}.txt").read_text() for rank in range(count)]
