"""A machine that others use is told from a quiet one."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wordsight.speed import quiet
from wordsight.speed.processor_time import Reading, read_processor_time
from wordsight.speed.quiet import BUSY_CORES, Watch

BUSY_S = 1.2
LINUX = sys.platform == "linux"
# A process whose parent has ended is nobody's child any more: it counts as somebody else's.
ORPHAN = """
import subprocess, sys
work = "import time, sys; end = time.time() + float(sys.argv[1])"
busy = work + "\\nwhile time.time() < end: pass"
nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
child = subprocess.Popen([sys.executable, "-c", busy, sys.argv[1]], **nowhere)
print(child.pid, flush=True)
"""
BUSY_CHILD = "import time; end = time.time() + {}\nwhile time.time() < end: pass"


class Clock:
    """Processor time that others are said to have used: a share of the wall time."""

    def __init__(self, others: float, stolen: float = 0.0):
        self.others, self.stolen = others, stolen

    def __call__(self) -> Reading:
        now = time.perf_counter()
        return Reading(others=self.others * now, stolen=self.stolen * now)


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Bursts of a clock that never changes, unless a test says so."""
    bursts: list[float] = []
    monkeypatch.setattr(quiet, "_burst", lambda: bursts.pop(0) if bursts else 1.0)
    yield bursts


@pytest.mark.skipif(not LINUX, reason="only Linux counts the time of others")
def test_an_orphan_that_is_busy_is_somebody_else():
    orphan = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(BUSY_S)], capture_output=True, text=True, check=True
    )
    number = int(orphan.stdout)
    first, begun = read_processor_time(), time.perf_counter()
    before = ticks_of(number)
    time.sleep(BUSY_S / 2)
    after = ticks_of(number)
    last, seconds = read_processor_time(), time.perf_counter() - begun
    assert first is not None
    assert last is not None
    used = (after - before) / os.sysconf("SC_CLK_TCK")
    assert last.others - first.others > 0.8 * used - 0.05
    # On a machine that is itself crowded the orphan gets its share only; but it gets some.
    assert used > 0.05 * seconds


@pytest.mark.skipif(not LINUX, reason="only Linux counts the time of others")
def test_a_child_that_is_busy_is_no_other():
    first, busy, children = read_processor_time(), busy_seconds(), os.times().children_user
    with subprocess.Popen([sys.executable, "-c", BUSY_CHILD.format(0.6)]) as child:
        time.sleep(0.3)
        alive, used = read_processor_time(), ticks_of(child.pid) / os.sysconf("SC_CLK_TCK")
        busy_alive = busy_seconds() - busy
    ended, busy, children = (
        read_processor_time(),
        busy_seconds() - busy,
        os.times().children_user - children,
    )
    assert first is not None
    assert alive is not None
    assert ended is not None
    assert children > 0.05
    assert alive.others - first.others <= busy_alive - used + 0.1
    assert ended.others - first.others <= busy - children + 0.1


def busy_seconds() -> float:
    """Seconds in which our cores did anything at all."""
    names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    found = [list(map(int, fields[1:])) for fields in lines if fields and fields[0] in names]
    return sum(sum(f[:3]) + f[5] + f[6] for f in found) / os.sysconf("SC_CLK_TCK")


def ticks_of(number: int) -> int:
    text = Path(f"/proc/{number}/stat").read_text()
    return sum(map(int, text[text.rindex(")") + 1 :].split()[11:13]))


def proc_of(
    folder: Path, cores: dict[str, str], processes: dict[int, tuple[str, int, str]]
) -> Path:
    """Write what Linux would say: cores, and name, parent and times of processes."""
    folder.mkdir()
    lines = [f"{name} {fields}" for name, fields in cores.items()]
    (folder / "stat").write_text("\n".join([*lines, "ctxt 1", ""]))
    for number, (name, parent, times) in processes.items():
        (folder / str(number)).mkdir()
        between = "0 " * 9
        (folder / str(number) / "stat").write_text(f"{number} ({name}) S {parent} {between}{times}")
    (folder / "self").mkdir()
    return folder


@pytest.mark.skipif(not LINUX, reason="only Linux counts the time of others")
def test_the_time_of_this_process_and_its_descendants_is_taken_off(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2})
    me, hertz = os.getpid(), os.sysconf("SC_CLK_TCK")
    proc = proc_of(
        tmp_path / "proc",
        {
            "cpu": "999 9 9 9 9 9 9 9 0 0",
            "cpu0": "100 20 30 5000 700 4 6 11 0 0",
            "cpu1": "900 20 30 5000 700 4 6 50 0 0",  # not ours to use
            "cpu2": "10 0 0 5000 0 0 0 1 0 0",
        },
        {
            me: ("a (strange) name 1 2 3", 1, "10 1 2 3"),
            me + 1: ("child", me, "20 0 0 0"),
            me + 2: ("grandchild", me + 1, "5 5 0 0"),
            me + 3: ("other", 1, "50 50 50 50"),
        },
    )
    found = read_processor_time(proc)
    assert found is not None
    assert found.others * hertz == pytest.approx((100 + 20 + 30 + 4 + 6 + 10) - (16 + 20 + 10))
    assert found.stolen * hertz == pytest.approx(12)


@pytest.mark.parametrize("content", ["", "cpu0 nonsense", "cpu0 1 2"])
def test_a_system_that_does_not_count_this_way_is_not_guessed_at(tmp_path, content):
    proc = proc_of(tmp_path / "proc", {}, {os.getpid(): ("me", 1, "1 1 1 1")})
    (proc / "stat").write_text(content)
    if content and LINUX:
        assert read_processor_time(proc) is None or 0 not in os.sched_getaffinity(0)
    assert read_processor_time(tmp_path / "nowhere") is None


def test_a_quiet_machine_is_called_quiet(steady):
    watch = Watch(read=Clock(others=BUSY_CORES / 2))
    watch.look()
    verdict = watch.verdict()
    assert verdict.is_quiet
    assert verdict.reasons == ()
    assert verdict.others_cores == pytest.approx(BUSY_CORES / 2, rel=0.01)
    assert verdict.slowest_clock == 1.0
    assert verdict.method == "proc"
    assert str(verdict).startswith("quiet: ")


@pytest.mark.parametrize(
    ("clock", "reason"),
    [(Clock(others=0.5), "others"), (Clock(others=0.0, stolen=0.5), "stolen")],
)
def test_a_busy_machine_is_called_disturbed_and_by_whom(steady, clock, reason):
    verdict = Watch(read=clock).verdict()
    assert not verdict.is_quiet
    assert verdict.reasons == (reason,)
    assert max(verdict.others_cores, verdict.stolen_cores) == pytest.approx(0.5, rel=0.01)
    assert f"DISTURBED ({reason})" in str(verdict)


def test_a_clock_that_slows_down_is_noticed(steady):
    steady += [1.0, 1.0, 1.2, 1.0]
    watch = Watch(read=Clock(others=0.0))
    watch.look()
    verdict = watch.verdict()
    assert verdict.reasons == ("clock",)
    assert verdict.slowest_clock == pytest.approx(1 / 1.2)


def test_a_clock_that_was_faster_before_the_wait_is_the_measure(steady):
    steady += [1.0, 1.5, 1.5, 1.5]
    verdict = Watch(read=Clock(others=0.0)).verdict()
    assert verdict.reasons == ("clock",)
    assert verdict.slowest_clock == pytest.approx(1 / 1.5)


def test_it_waits_until_the_machine_is_quiet(steady, monkeypatch):
    monkeypatch.setattr(quiet, "WINDOW_S", 0.05)
    clock = Clock(others=1.0)
    begun, base = time.perf_counter(), time.perf_counter()

    def read() -> Reading:
        now = time.perf_counter()
        busy = min(now, base + 0.2)  # busy for a fifth of a second, then no more
        return Reading(others=clock.others * busy, stolen=0.0)

    watch = Watch(wait_s=5.0, read=read)
    assert 0.2 <= time.perf_counter() - begun < 2.0
    verdict = watch.verdict()
    assert verdict.is_quiet
    assert verdict.waited_s >= 0.2
    impatient = Watch(wait_s=0.0, read=Clock(others=1.0))
    assert not impatient.verdict().is_quiet


def test_without_a_count_by_the_system_a_loop_finds_what_it_lost(steady, monkeypatch):
    monkeypatch.setattr(quiet, "LOOP_S", 0.02)
    shares = [0.0, 0.5, 0.5, 0.5]
    monkeypatch.setattr(quiet, "_lost_share", lambda: shares.pop(0))
    verdict = Watch(read=lambda: None).verdict()
    assert verdict.method == "loop"
    assert verdict.reasons == ("others",)
    assert verdict.others_cores == pytest.approx(0.5)


@pytest.mark.skipif(not LINUX, reason="to share a core with another process takes its affinity")
def test_a_loop_loses_time_to_a_busy_process_on_the_same_core():
    core = min(os.sched_getaffinity(0))
    code = (
        "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); "
        "from wordsight.speed import quiet; print(quiet._lost_share())"
    )
    busy = f"import os; os.sched_setaffinity(0, {{{core}}})\n{BUSY_CHILD.format(8)}"
    with subprocess.Popen([sys.executable, "-c", busy]) as neighbour:
        done = subprocess.run(
            [sys.executable, "-c", code, str(core)], capture_output=True, text=True, check=True
        )
        neighbour.kill()
    assert float(done.stdout) > 0.2


def test_a_glance_looks_once_a_second_at_most(steady):
    watch = Watch(read=Clock(others=0.0))
    for _ in range(20):
        watch.glance()
    assert watch.verdict().num_looks == 3


def test_the_work_of_a_burst_is_always_the_same():
    first, second = quiet._burst(), quiet._burst()
    assert first > 0
    assert 0.2 < first / second < 5
