"""`make fuzz`: feeds the targets with what their coverage suggests, for a number of executions or of minutes.

atheris (libFuzzer) looks at which lines an input reaches, and goes on from those that reach new ones. Where it has no
wheel (it has them for Linux and macOS), inputs are changed at random, without looking at what they reach.

An input that fails is written to `crash-*` in the folder of `--found`, and the traceback is shown. It becomes a test.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from hashlib import sha1
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

LONGEST = 4_096
"""Bytes of an input, at most."""


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def with_coverage(name: str, runs: int, seconds: float, found: Path, seed: int) -> None:
    """Does not return: libFuzzer ends the process, with 0 if nothing was found."""
    import atheris

    with atheris.instrument_imports(include=["presence_protocol", "presence_server"]):
        from fuzz.targets import target_of

    target = target_of(name)
    corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    for number, data in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(data)
    limit = f"-runs={runs + len(target.seeds)}" if runs else f"-max_total_time={int(seconds)}"
    flags = [limit, f"-seed={seed}", f"-max_len={LONGEST}", "-timeout=20", "-verbosity=0", f"-artifact_prefix={found}/"]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], target.run)
    atheris.Fuzz()


def at_random(name: str, runs: int, seconds: float, found: Path, seed: int) -> int:
    from fuzz.targets import target_of

    target, random = target_of(name), Random(seed)
    ends_at = time.monotonic() + seconds
    done = 0
    inputs = list(target.seeds)
    while done < runs if runs else time.monotonic() < ends_at:
        data = inputs[done] if done < len(inputs) else _changed(random.choice(inputs), random, inputs)
        done += 1
        try:
            target.run(data)
        except Exception:
            (found / f"crash-{sha1(data).hexdigest()}").write_bytes(data)
            traceback.print_exc()
            say(f"{name}: failed on {data[:200]!r}")
            return 1
    say(f"{name}: {done} executions")
    return 0


def _changed(data: bytes, random: Random, inputs: Sequence[bytes]) -> bytes:
    """A few bytes of it are others, gone, doubled or from another input."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(changed) + 1)
        size = random.choice((1, 1, 2, 4, 16))
        match random.randrange(5):
            case 0:
                changed[at : at + size] = random.randbytes(size)
            case 1:
                del changed[at : at + size]
            case 2:
                changed[at:at] = changed[at : at + size]
            case 3:
                changed[at:at] = bytes((random.choice(b"\"'{}[],:.-+eE0919\0\r\n\\ \xff"),))
            case _:
                other = random.choice(inputs)
                start = random.randrange(len(other) + 1)
                changed[at : at + size] = other[start : start + size]
    return bytes(changed[:LONGEST])


def has_atheris() -> bool:
    try:
        import atheris  # noqa: F401
    except ImportError:
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", help="which; left out: each, in a process of its own; all: in one")
    parser.add_argument("--runs", type=int, default=0, help="executions of each")
    parser.add_argument("--minutes", type=float, default=1.0, help="minutes of each, without --runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--found", type=Path, default=Path(tempfile.gettempdir()), help="a folder for what fails")
    parser.add_argument("--random", action="store_true", help="without coverage")
    given = parser.parse_args(arguments)
    given.found.mkdir(parents=True, exist_ok=True)
    if len(given.target) == 1:
        way = at_random if given.random or not has_atheris() else with_coverage
        return way(given.target[0], given.runs, given.minutes * 60, given.found, given.seed) or 0
    from fuzz.targets import TARGETS

    failed = []
    for name in given.target or TARGETS:
        said = sys.argv[1:] if arguments is None else list(arguments)
        flags = [word for word in said if word not in given.target]
        began = time.monotonic()
        ended = subprocess.run([sys.executable, __file__, name, *flags], check=False)
        say(f"{name}: {'fine' if not ended.returncode else 'FAILED'}, {time.monotonic() - began:.0f} s")
        failed += [name] if ended.returncode else []
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
