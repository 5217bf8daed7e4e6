"""The social graph: everybody is connected and watches some of the others, who change at a steady rate.

Run as `python bench/graph.py [connections] [watched] [changes_per_second,...] [seconds]`; needs a C compiler. The load
generator (`load/graph.c`) is pinned to one core and the server to another. It checks that every watcher holds the
last change of every user it watches, and says how busy it was itself: a generator near 1.0 measures itself.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from idle import free_port, wait_ready

SOURCE = Path(__file__).parent / "load" / "graph.c"
SCRIPT = Path(sys.executable).parent / "presence-server"


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, user and system, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def build(folder: str) -> str:
    program = f"{folder}/graph"
    subprocess.run(["cc", "-O2", "-o", program, str(SOURCE)], check=True)
    return program


def measure(program: str, connections: int, watched: int, rate: int, seconds: int) -> dict[str, float]:
    """One run. Raises RuntimeError if not all watchers converged: such a run has no result."""
    port = free_port()
    # A flapping user is published once a second at most; here everybody flaps, and each change is to be delivered.
    command = ["taskset", "-c", "0", str(SCRIPT), "--port", str(port), "--min-publish-interval", "0"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_ready(port)
        load = subprocess.Popen(
            ["taskset", "-c", "1", program, *map(str, (port, connections, watched, rate, seconds, 1))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert load.stdin is not None
        assert load.stdout is not None
        load.stdout.readline()  # all are connected
        before = cpu_seconds(server.pid)
        load.stdin.write("\n")
        load.stdin.flush()
        result: dict[str, float] = json.loads(load.stdout.readline())
        result["cpu_seconds"] = cpu_seconds(server.pid) - before
        load.wait()
    finally:
        server.kill()
        server.wait()
    if result["behind"]:
        raise RuntimeError(f"{result['behind']} watchers did not converge")
    return result


def main() -> None:
    connections, watched, rates, seconds = [
        *sys.argv[1:],
        *["5000", "200", "100,2500,5000,9000", "6"][len(sys.argv) - 1 :],
    ]
    print(f"{connections} connections, {watched} watched users each, {seconds} s")
    print("| changes/s | delivered per CPU s | p50 ms | p99 ms | server busy | load generator busy |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        program = build(folder)
        for rate in map(int, rates.split(",")):
            result = measure(program, int(connections), int(watched), rate, int(seconds))
            per_cpu_second = result["delivered"] / result["cpu_seconds"] / 1e6
            busy = result["cpu_seconds"] / result["seconds"]
            print(
                f"| {rate} | {per_cpu_second:.2f} M | {result['p50_ms']:.0f} | {result['p99_ms']:.0f} "
                f"| {busy:.0%} | {result['load_busy']:.0%} |"
            )


if __name__ == "__main__":
    main()
