"""What is said of one setting: its default, bounds, unit and words. All else is made from it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Final

PROGRAM: Final = "presence-server"
PREFIX: Final = "PRESENCE_"

# Times go to browsers, whose timers hold 24.8 days at most; a week is a round number below that.
WEEK: Final = 7 * 24 * 3600.0
MILLISECOND: Final = 0.001
MANY: Final = 1_000_000_000
# What a switch may be written as.
SWITCH: Final = dict.fromkeys(("on", "true", "yes", "1"), True) | dict.fromkeys(("off", "false", "no", "0"), False)

Value = str | bool | int | float | tuple[str, ...]


class SettingsError(ValueError):
    """A setting that cannot be. ``name``: the flag, variable or field as it was written; ``reason``: what is wrong."""

    def __init__(self, name: str, reason: str, involved: tuple[str, ...] = ()) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason
        self.involved = involved or (name,)  # the fields that could be changed to put it right

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Declaration:
    """Everything that is said of one setting."""

    name: str
    default: Value
    help: str
    unit: str
    least: float
    most: float
    choices: tuple[str, ...]
    empty: str = ""
    """What an empty list or text means."""
    repeats: bool = False
    """Whether its flag may be given more than once; the values are then one list, separated by commas."""
    is_secret: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def metavar(self) -> str:
        if self.choices or isinstance(self.default, bool):
            return "|".join(self.choices or ("on", "off"))
        return self.unit.upper() or {int: "N", str: self.name.upper(), tuple: "LIST"}[type(self.default)]

    @property
    def default_text(self) -> str:
        """The default as one would write it, with its unit; for an empty list, what that means."""
        if isinstance(self.default, tuple):
            return ",".join(self.default) or self.empty
        if self.default == "":
            return self.empty
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return f"{number(self.default)} {self.unit}".rstrip() or self.empty

    def parse(self, raw: str) -> Value:
        """Read the setting from a flag or a variable. Raises ValueError with the reason alone."""
        text = raw.strip()
        if isinstance(self.default, tuple):
            return tuple(dict.fromkeys(re.split(r"[,\s]+", text.strip(",")))) if text.strip(",") else ()
        if isinstance(self.default, str):
            return text
        if isinstance(self.default, bool):
            if (value := SWITCH.get(text.lower())) is None:
                raise ValueError(f"must be on or off, not {shown(raw)}")
            return value
        if isinstance(self.default, int):
            if re.fullmatch(r"[+-]?[0-9]+(_[0-9]+)*", text) is None:
                raise ValueError(f"must be a whole number, not {shown(raw)}")
            # beyond every bound, and Python refuses to convert or to show numbers of thousands of digits
            return int(text[:40])
        try:
            return float(text if text.isascii() else "")
        except ValueError:
            raise ValueError(f"must be a number of {self.unit}, not {shown(raw)}") from None

    def check(self, value: Value) -> None:
        """Hold a value to the bounds of this setting alone. Raises ValueError with the reason alone."""
        if self.choices and value not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}, not {shown(value)}")
        if isinstance(self.default, str | tuple):
            return
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise ValueError(f"must be True or False, not {shown(value)}")
            return
        if isinstance(value, bool) or not isinstance(value, int | float if isinstance(self.default, float) else int):
            raise ValueError(f"must be a number, not {shown(value)}")
        unit = f" {self.unit}" if self.unit else ""
        if not math.isfinite(value):
            raise ValueError(f"must be a finite number of {self.unit}, not {value}")
        if value < self.least:
            raise ValueError(f"must be at least {number(self.least)}{unit}, not {number(value)}")
        if value > self.most:
            raise ValueError(f"must be at most {number(self.most)}{unit}, not {number(value)}")


def text(
    default: str | tuple[str, ...],
    help: str,
    *,
    choices: tuple[str, ...] = (),
    empty: str = "",
    repeats: bool = False,
    is_secret: bool = False,
) -> Any:
    """`is_secret`: the value may hold one, so that nothing shows it."""
    words = {"help": help, "choices": choices, "empty": empty, "repeats": repeats, "is_secret": is_secret}
    return field(default=default, repr=not is_secret, metadata=words)


def switch(default: bool, help: str) -> Any:
    return field(default=default, metadata={"help": help})


def seconds(default: float, help: str, *, least: float = MILLISECOND, most: float = WEEK) -> Any:
    return field(default=default, metadata={"help": help, "unit": "seconds", "least": least, "most": most})


def count(default: int, help: str, *, unit: str = "", least: int = 1, most: int = MANY) -> Any:
    return field(default=default, metadata={"help": help, "unit": unit, "least": least, "most": most})


def number(value: object) -> str:
    """A value as one would write it: numbers without a needless fraction."""
    return str(value).removesuffix(".0")


def shown(value: object) -> str:
    """A wrong value as it may stand in one line: quoted, escaped, and cut short."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
