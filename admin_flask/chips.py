"""Filters of a list as its page shows them: those that are on, and those that could be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is on."""

    label: str
    value: str
    without: str


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of a filter that could be on."""

    label: str
    href: str


@dataclass(frozen=True, slots=True)
class Menu:
    """A filter that could be on. `asks` names the small form that it has beside its choices, where it has one."""

    label: str
    options: list[Option]
    asks: str = ""
