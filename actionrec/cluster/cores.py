"""How many cores there are, really: a thread of a core is half a core, and a container may be given fewer."""

import functools
import math
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

TOPOLOGY = Path("/sys/devices/system/cpu")
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Cores:
    """Of this process. None: the system does not tell, or sets no limit."""

    logical: int  # of the machine
    allowed: int  # of them this process may run on (affinity)
    physical: int | None  # behind the allowed ones
    limit: float | None  # cores' worth of time that the container is given

    @property
    def usable(self) -> int:
        """Processes that can compute at once: the allowed ones, within the container's limit."""
        return self.allowed if self.limit is None else max(1, min(self.allowed, math.ceil(self.limit)))

    def said(self) -> str:
        """In words: what is usable first, then why it is not more, and what it is made of."""
        parts = [f"{self.usable} usable"]
        if self.physical is not None:
            parts.append(f"{self.physical} real")
        parts.append(f"{self.logical} logical")
        if self.allowed < self.logical:
            parts.append(f"{self.allowed} allowed to this process")
        if self.limit is not None:
            parts.append(f"this container may use {self.limit:g}")
        return ", ".join(parts)


@functools.cache
def here() -> Cores:
    logical = os.cpu_count() or 1
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(logical))
    return Cores(logical, len(allowed), _physical(allowed), _limit())


def _physical(allowed: set[int]) -> int | None:
    if platform.system() == "Darwin":
        asked = subprocess.run(["sysctl", "-n", "hw.physicalcpu"], capture_output=True, text=True, check=False)
        return int(asked.stdout) if asked.stdout.strip().isdigit() else None
    siblings = [_text(TOPOLOGY / f"cpu{number}/topology/thread_siblings_list") for number in allowed]
    return len(set(siblings)) if siblings and all(siblings) else None


def _limit() -> float | None:
    """The tightest of this process's control group and those around it, of either version."""
    found = [_quota(*_text(folder / "cpu.max").split()) for folder in _folders("")]
    found += [
        _quota(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")) for folder in _folders("cpu")
    ]
    return min((limit for limit in found if limit is not None), default=None)


def _folders(controller: str) -> list[Path]:
    """Of this process's group in the hierarchy of a controller ("": version 2), and those around it."""
    for line in _text(OWN_CGROUP).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            base = CGROUPS / controller
            inner = base / path.lstrip("/")
            return [inner, *(folder for folder in inner.parents if folder == base or base in folder.parents)]
    return []


def _quota(quota: str = "", period: str = "") -> float | None:
    """Cores' worth of time of so many microseconds in every period; "max" and -1 are no limit."""
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
