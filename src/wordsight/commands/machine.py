"""What this computer is: processor, cores, memory. Nothing is installed or run to find out."""

import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

INSTRUCTIONS = (
    *("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"),
    *("asimddp", "i8mm", "bf16", "sve"),
)
"""What makes the arithmetic of models fast, by the names Linux has for it: of x86, then of ARM."""
_APPLE_NAMES = {
    "hw.optional.avx2_0": "avx2",
    "hw.optional.avx512f": "avx512f",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
}
_NO_LIMIT_BYTES = 1 << 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Processor:
    """The processor and what of it may be used."""

    name: str
    instructions: tuple[str, ...] | None
    """Those of `INSTRUCTIONS` that it has; None where the system does not say."""
    num_physical_cores: int | None
    """Cores without hyper-threads; None where the system does not say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Memory in bytes; a container's limit counts as its size."""

    total: int
    available: int | None


def find_processor() -> Processor:
    """Return what the system says of its processor."""
    if sys.platform == "darwin":
        return parse_sysctl(_sysctl())
    try:
        return parse_cpuinfo(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        name = platform.processor() or platform.machine()
        return Processor(name=name, instructions=None, num_physical_cores=None)


def parse_cpuinfo(text: str) -> Processor:
    """Read Linux's /proc/cpuinfo."""
    fields = re.findall(r"^([^\t:\n]+?)\s*:[ \t]*(.*)$", text, re.M)
    first: dict[str, str] = {}
    for name, value in fields:
        first.setdefault(name, value)
    flags = (first.get("flags") or first.get("Features") or "").split()
    return Processor(
        name=first.get("model name") or platform.machine(),
        instructions=tuple(name for name in INSTRUCTIONS if name in flags) if flags else None,
        num_physical_cores=_count_cores(fields),
    )


def _count_cores(fields: list[tuple[str, str]]) -> int | None:
    cores: set[tuple[str, str]] = set()
    package = "0"
    for name, value in fields:
        if name == "physical id":
            package = value
        elif name == "core id":
            cores.add((package, value))
    return len(cores) or None


def parse_sysctl(text: str) -> Processor:
    """Read what macOS's `sysctl` prints."""
    values = dict(re.findall(r"^([\w.]+):[ \t]*(.*)$", text, re.M))
    found = {name for key, name in _APPLE_NAMES.items() if values.get(key) == "1"}
    cores = values.get("hw.physicalcpu", "")
    return Processor(
        name=values.get("machdep.cpu.brand_string") or platform.machine(),
        instructions=tuple(name for name in INSTRUCTIONS if name in found) if values else None,
        num_physical_cores=int(cores) if cores.isdigit() else None,
    )


def _sysctl() -> str:
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "machdep.cpu.brand_string", "hw"],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def num_allowed_cores(control_group: Path = Path("/sys/fs/cgroup")) -> float:
    """Return how many cores this process may use: by its affinity, or less by its container."""
    if sys.platform == "linux":
        allowed = float(len(os.sched_getaffinity(0)))
    else:
        allowed = float(os.cpu_count() or 1)
    quota = _words(control_group / "cpu.max")
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit():
        allowed = min(allowed, int(quota[0]) / int(quota[1]))
    return allowed


def find_memory(control_group: Path = Path("/sys/fs/cgroup")) -> Memory | None:
    """Return the memory of this computer or container; None where the system does not say."""
    if sys.platform == "win32":
        return None
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None
    available: int | None = None
    try:
        found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.M)
        available = int(found[1]) * 1024 if found else None
    except OSError:
        pass  # macOS has no such file
    limit, used = (_words(control_group / name) for name in ("memory.max", "memory.current"))
    if limit and used and limit[0].isdigit() and int(limit[0]) < min(total, _NO_LIMIT_BYTES):
        total = int(limit[0])
        left = max(0, total - int(used[0]))
        available = left if available is None else min(available, left)
    return Memory(total=total, available=available)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []
