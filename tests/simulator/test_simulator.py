"""Seeds on both engines; each is printed, so that one that fails can be replayed."""

import pytest

from simulator.main import replay_command
from simulator.run import simulate

STEPS = 2_000
# The same every time, so that no change is refused for what it did not do. `make simulate` takes fresh seeds: a seed in
# some hundreds still finds something.
SEEDS = [("memory", 1, 100), ("late", 1, 60)]


@pytest.mark.parametrize(("engine", "first", "count"), SEEDS, ids=["memory", "late"])
def test_seeds(engine: str, first: int, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nsimulated on {engine}: seeds {first} to {first + count - 1}, {STEPS} steps each and then to rest")  # noqa: T201
    for seed in range(first, first + count):
        outcome = simulate(seed, STEPS, engine == "late")
        assert outcome.violation is None, f"{replay_command(outcome, STEPS)}: {outcome.violation}"


@pytest.mark.parametrize(("sees", "count"), [("contacts", 15), ("ask", 10)])
@pytest.mark.parametrize("engine", ["memory", "late"])
def test_nobody_is_told_what_they_may_not_know(engine: str, sees: str, count: int) -> None:
    for seed in range(1, count + 1):
        outcome = simulate(seed, STEPS, engine == "late", sees=sees)
        assert outcome.violation is None, f"{replay_command(outcome, STEPS)}: {outcome.violation}"


def test_a_claim_that_ends_as_all_come_to_rest_is_waited_for() -> None:
    """The store has told of the end, and it is on its way to the node."""
    outcome = simulate(40007, STEPS, True, sees="contacts")
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
