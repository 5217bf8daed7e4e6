"""Fresh seeds on every run, on both engines; each is printed, so that one that fails can be replayed."""

from random import SystemRandom

import pytest

from simulator.main import replay_command
from simulator.run import simulate

STEPS = 2_000
SEEDS = 60
FIRST = SystemRandom().randrange(10**9)


@pytest.mark.parametrize("engine", ["memory", "late"])
def test_fresh_seeds(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nsimulated on {engine}: seeds {FIRST} to {FIRST + SEEDS - 1}, {STEPS} steps each and then to rest")  # noqa: T201
    for seed in range(FIRST, FIRST + SEEDS):
        outcome = simulate(seed, STEPS, engine == "late")
        assert outcome.violation is None, f"{replay_command(outcome, STEPS)}: {outcome.violation}"


@pytest.mark.parametrize("engine", ["memory", "late"])
def test_a_seed_gives_the_same_run_every_time(engine: str) -> None:
    first, second = (simulate(7, STEPS, engine == "late") for _ in range(2))
    assert (first.steps, first.virtual) == (second.steps, second.virtual)
