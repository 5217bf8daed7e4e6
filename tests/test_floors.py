"""The floors of coverage are looked at module by module."""

from floors import FLOOR, beneath


def test_a_module_beneath_its_floor_is_named_and_others_are_not() -> None:
    covered = {"a.py": FLOOR - 0.1, "b.py": FLOOR, "c.py": 20.0}
    assert beneath(covered, {"c.py": 20}) == [f"a.py: {FLOOR - 0.1:.1f} %, floor {FLOOR:.0f} %"]
    assert beneath(covered, {"a.py": 10, "c.py": 21}) == ["c.py: 20.0 %, floor 21 %"]


def test_a_floor_of_what_is_gone_is_named() -> None:
    assert beneath({"a.py": 100.0}, {"b.py": 50}) == ["b.py: has a floor, and is not there"]
