"""What a run found."""


class Violation(AssertionError):
    """A promise that did not hold. `kind` names it: while a trace is shortened it must stay the same."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


def require(holds: object, kind: str, *what: object) -> None:
    if not holds:
        raise Violation(kind, " ".join(map(str, what)))
