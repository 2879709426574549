"""What the parts of a stack use of this machine: memory and CPU, by their processes."""

from pathlib import Path

import psutil


def memory(pid: int) -> int:
    """Return the bytes of a process and its children: shared pages by their share, where the system tells."""
    try:
        process = psutil.Process(pid)
        return sum(_share(each) for each in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process, with its children, has used."""
    try:
        process = psutil.Process(pid)
        everyone = [process, *process.children(recursive=True)]
        return sum(sum(each.cpu_times()[:2]) for each in everyone)
    except psutil.NoSuchProcess:
        return 0.0


def _share(process: psutil.Process) -> int:
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    rss: int = process.memory_info().rss
    return rss
