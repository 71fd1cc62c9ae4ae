"""What the doctor reads off a machine: texts of real systems, and this one."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wordsight.commands.machine import (
    INSTRUCTIONS,
    find_memory,
    find_processor,
    num_allowed_cores,
    parse_cpuinfo,
    parse_sysctl,
)

XEON = """\
processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8480+
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu sse2 avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_tile amx_int8
power management:

processor\t: 1
model name\t: Intel(R) Xeon(R) Platinum 8480+
physical id\t: 0
core id\t\t: 1
flags\t\t: fpu sse2

processor\t: 2
physical id\t: 0
core id\t\t: 1

processor\t: 3
physical id\t: 1
core id\t\t: 1
"""
RASPBERRY = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 asimddp
CPU implementer\t: 0x41
"""
OLD = "model name\t: Pentium\nflags\t\t: fpu mmx\n"
APPLE = """\
machdep.cpu.brand_string: Apple M2 Pro
hw.ncpu: 12
hw.physicalcpu: 12
hw.optional.arm.FEAT_BF16: 1
hw.optional.arm.FEAT_I8MM: 1
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_SME: 0
"""


def test_a_server_of_two_packages_has_three_cores_and_matrix_instructions():
    found = parse_cpuinfo(XEON)
    assert found.name == "Intel(R) Xeon(R) Platinum 8480+"
    assert found.num_physical_cores == 3
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
    assert found.instructions == wanted


def test_an_arm_board_says_no_name_and_no_cores():
    found = parse_cpuinfo(RASPBERRY)
    assert found.instructions == ("asimddp",)
    assert found.num_physical_cores is None
    assert found.name == platform.machine()


def test_an_old_processor_has_none_and_a_silent_system_says_nothing():
    assert parse_cpuinfo(OLD).instructions == ()
    assert parse_cpuinfo("").instructions is None
    assert parse_sysctl("").instructions is None


def test_an_apple_has_its_instructions_under_their_linux_names():
    found = parse_sysctl(APPLE)
    assert found.name == "Apple M2 Pro"
    assert found.num_physical_cores == 12
    assert found.instructions == ("asimddp", "i8mm", "bf16")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/cpuinfo is Linux's")
def test_this_machine_is_what_lscpu_says():
    found = find_processor()
    try:
        said = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("lscpu is not installed")
    flags = re.search(r"^Flags:\s*(.*)$", said, re.M)
    if flags:
        wanted = {name for name in INSTRUCTIONS if name in flags[1].split()}
        assert set(found.instructions or ()) == wanted
    cores = re.search(r"^Core\(s\) per (?:socket|cluster):\s*(\d+)$", said, re.M)
    sockets = re.search(r"^(?:Socket|Cluster)\(s\):\s*(\d+)$", said, re.M)
    if cores and sockets and found.num_physical_cores:
        assert found.num_physical_cores == int(cores[1]) * int(sockets[1])


def test_a_container_may_use_less_than_the_machine_has(tmp_path: Path):
    own = num_allowed_cores(tmp_path)
    assert own == (len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count())
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert num_allowed_cores(tmp_path) == 0.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert num_allowed_cores(tmp_path) == own


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_a_limit_of_a_container_is_its_memory(tmp_path: Path):
    machine = find_memory(tmp_path)
    assert machine is not None
    assert machine.available is not None
    assert 0 < machine.available <= machine.total
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    limited = find_memory(tmp_path)
    assert limited is not None
    assert (limited.total, limited.available) == (1_000_000, 600_000)
    for no_limit in ("max\n", f"{1 << 62}\n"):
        (tmp_path / "memory.max").write_text(no_limit)
        found = find_memory(tmp_path)
        assert found is not None
        assert found.total == machine.total
