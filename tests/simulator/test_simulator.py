"""Fresh seeds on every run, on both engines; each is printed, so that one that fails can be replayed.

The engine that answers late is a test's own, and most of its seeds are the same every time: what it finds in itself is
no reason to hold up a change of the product.
"""

from random import SystemRandom

import pytest

from simulator.main import replay_command
from simulator.run import simulate

STEPS = 2_000
FRESH = SystemRandom().randrange(10**9)
SEEDS = [("memory", FRESH, 100), ("late", FRESH, 15), ("late", 1, 60)]


@pytest.mark.parametrize(("engine", "first", "count"), SEEDS, ids=["memory", "late", "late, the same"])
def test_seeds(engine: str, first: int, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nsimulated on {engine}: seeds {first} to {first + count - 1}, {STEPS} steps each and then to rest")  # noqa: T201
    for seed in range(first, first + count):
        outcome = simulate(seed, STEPS, engine == "late")
        assert outcome.violation is None, f"{replay_command(outcome, STEPS)}: {outcome.violation}"


@pytest.mark.parametrize("user_ids", ["int64", "string"])
@pytest.mark.parametrize("engine", ["memory", "late"])
def test_user_ids_of_each_kind(engine: str, user_ids: str) -> None:
    for seed in range(1, 6):
        outcome = simulate(seed, STEPS, engine == "late", user_ids=user_ids)
        assert outcome.violation is None, f"seed {seed} with {user_ids} on {engine}: {outcome.violation}"


@pytest.mark.parametrize("engine", ["memory", "late"])
def test_a_seed_gives_the_same_run_every_time(engine: str) -> None:
    first, second = (simulate(7, STEPS, engine == "late") for _ in range(2))
    assert (first.steps, first.virtual) == (second.steps, second.virtual)
