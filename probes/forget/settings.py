"""The rules that choose filters, and their settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dcgan_probe.errors import InputError, at_least, unknown

WAYS = ("filters", "places")
FILLS = ("mix", "recolour", "smooth")  # as `recognition.erasing` tries them
RULE_NAMES = ("paper", "top", "l1", "causal", "gates")
REPLACEMENTS = ("zero", "mean", "outside")
CONTROLS = {"filters": 20, "places": 3}  # random controls, if none are asked for
LEFT = 0.1  # share of the evidence for the object that `causal` and `gates` leave

NAMED = {"mean": "their mean", "outside": "their mean outside the object"}


@dataclass(frozen=True, kw_only=True)
class RuleSettings:
    """Which rule chooses filters, and how; `forget.run` says what each setting means.

    layers: of the generator, in the order of the data; several for "gates" only. Raises InputError
    for a rule or a replacement that does not exist, and for numbers out of range.
    """

    layers: tuple[str, ...]
    select: str = "paper"
    k: int = 16
    replace: str = "zero"
    left: float = LEFT

    def __post_init__(self) -> None:
        at_least(1, k=self.k)
        if not 0 < self.left < 1:
            raise InputError(f"left: found {self.left:g}, expected more than 0 and less than 1")
        if self.select not in RULE_NAMES:
            raise unknown("rule", self.select, RULE_NAMES)
        if len(self.layers) > 1 and self.select != "gates":
            raise InputError(f"select {self.select}: found {len(self.layers)} layers, expected one")
        if self.replace not in REPLACEMENTS:
            raise unknown("replacement", self.replace, REPLACEMENTS)

    @property
    def replaced_by(self) -> str | None:
        """The value of dropped filters, as captions name it; None for zero."""
        return "learnt values" if self.select == "gates" else NAMED.get(self.replace)

    @property
    def target(self) -> float | None:
        """The share of the object that may be left; None for a rule that does not aim at one."""
        return self.left if self.select in ("causal", "gates") else None

    def options(self) -> dict[str, Any]:
        """The settings as a result records them: None for what the rule does not use."""
        return {
            "layers": list(self.layers),
            "select": self.select,
            "k": self.k if self.select == "top" else None,
            "replace": "learnt" if self.select == "gates" else self.replace,
            "left": self.target,
        }
