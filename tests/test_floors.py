"""The floors of coverage are looked at module by module."""

from floors import beneath


def test_a_module_beneath_its_floor_is_named_and_others_are_not() -> None:
    covered = {"a.py": 89.9, "b.py": 90.0, "c.py": 50.0}
    assert beneath(covered, {"c.py": 50}) == ["a.py: 89.9 %, floor 90 %"]
    assert beneath(covered, {"a.py": 80, "c.py": 51}) == ["c.py: 50.0 %, floor 51 %"]


def test_a_floor_of_what_is_gone_is_named() -> None:
    assert beneath({"a.py": 100.0}, {"b.py": 50}) == ["b.py: has a floor, and is not there"]
