"""One side of a comparison, in a process of its own: it does what it is asked, line by line, and rests in between.

Started by against_torch.py as  worker.py SIDE SETTINGS  with settings, requests and answers in JSON. The first
answer comes unasked: the side's first losses and parameters.
"""

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETTLE = 0.03  # seconds that a side is given after its turn, for threads that spin a while before they sleep


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    settings = json.loads(sys.argv[2])
    # The side's module imports its libraries, and no other: NumPy and tinygan, or NumPy and PyTorch.
    if settings["numpy_first"]:
        importlib.import_module("numpy")
    order = "NumPy loaded first" if "numpy" in sys.modules else "tinygan loaded before NumPy"
    if sys.argv[1] == "tinygan":
        importlib.import_module("tinygan")  # which could choose BLAS's code for this CPU, where it is the first
    module = importlib.import_module(f"{sys.argv[1]}_side")
    imported = peak_mib()
    side = module.TASKS[settings["task"]](settings)
    answer(
        {
            "first": side.first_look(),
            "parameters": side.parameters(),
            **module.facts(),
            "imported_mib": imported,
            "order": order,
        }
    )
    rested_since = time.perf_counter(), time.process_time()
    for line in sys.stdin:
        request = json.loads(line)
        rest = {"rest": time.perf_counter() - rested_since[0], "rest_cpu": time.process_time() - rested_since[1]}
        if request["do"] == "steps":
            result = run(side, module.wait, request["warm"], request["count"]) | rest
            time.sleep(SETTLE)
        elif request["do"] == "profile":
            result = side.profile(request["count"])
        elif request["do"] == "products":
            result = {"gflop": side.work()}
        elif request["do"] == "sgemm":
            result = {"gflops": module.sgemm(settings["threads"])}
        else:
            result = {**module.facts(), "peak_mib": peak_mib()}
        rested_since = time.perf_counter(), time.process_time()
        answer(result)


def run(side: Any, wait: Callable[[], None], warm: int, count: int) -> dict[str, Any]:
    """Time `count` steps, one by one, after `warm` untimed ones."""
    for _ in range(warm):
        side.step()
    wait()
    milliseconds, numbers = [], []
    start, cpu, busy = time.perf_counter(), time.process_time(), machine_busy()
    for _ in range(count):
        before = time.perf_counter()
        result = side.step()
        wait()
        milliseconds.append(1e3 * (time.perf_counter() - before))
        numbers.append([number.item() for number in result])
    work, work_cpu = time.perf_counter() - start, time.process_time() - cpu
    return {
        "milliseconds": milliseconds,
        "numbers": {name: sum(n) / count for name, n in zip(side.names, zip(*numbers, strict=True), strict=True)},
        "work": work,
        "work_cpu": work_cpu,
        "others": max(0.0, machine_busy() - busy - work_cpu) / work,  # cores that other processes kept busy
    }


def machine_busy() -> float:
    """Seconds that all cores together have been busy, with whatever (on Linux; else 0)."""
    try:
        user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def peak_mib() -> float:
    """The most memory this process has held so far."""
    # Linux hands the parent's ru_maxrss on to a child; VmHWM is the process's own.
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    main()
