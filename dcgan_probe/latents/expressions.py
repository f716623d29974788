"""Sums of concepts, as people type them: ``smiling_woman - neutral_woman + neutral_man``.

    expression   term { (+|-) term }
    term         factor { * factor | / number }        at most one factor is more than a number
    factor       { +|- } a number, a name, seed:index, ( expression ) or
                 mean( expression { , expression } )

Every such sum is a linear combination, so it is read into its coefficients; nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from dcgan_probe.errors import InputError

_TOKEN = re.compile(
    r"\s*(?:(?P<sample>[0-9]+:[0-9]+)|(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)"
    r"|(?P<name>[^\W\d]\w*)|(?P<sign>[-+*/(),])|(?P<wrong>\S))"
)
_DEEPEST = 50
LARGEST = 1000  # coefficient of a name
# The coefficient of no name: what a number alone is.
_ONE = ""


class _Token(NamedTuple):
    kind: str
    text: str
    place: int


def parse(text: str) -> dict[str, float]:
    """The coefficient of every name and sample of an expression, in the order of their first use.

        >>> parse("smiling - neutral + 0.5 * (glasses + 3:17)")
        {'smiling': 1.0, 'neutral': -1.0, 'glasses': 0.5, '3:17': 0.5}
        >>> parse("mean(a, b) - a / 4")
        {'a': 0.25, 'b': 0.5}

    Raises InputError that points at the character where something else was expected.
    Source: section 6.3.2.
    """
    reader = _Reader(text)
    terms = reader.expression(0)
    if reader.next.kind != "end":
        raise reader.error("+, -, *, / or the end")
    if _ONE in terms:
        raise InputError(f"expression {text!r}: found a number alone, expected it times a name")
    for name, factor in terms.items():
        if not abs(factor) <= LARGEST:
            raise InputError(
                f"expression {text!r:.60}: found {factor:.3g} times {name}, expected at most "
                f"{LARGEST}"
            )
    if not any(terms.values()):
        raise InputError(f"expression {text!r}: found a sum of nothing, expected a name in it")
    return terms


def combine(factors: Mapping[str, float], tensors: Mapping[str, Tensor]) -> Tensor:
    """The sum of tensors by name, each times its coefficient.

        >>> combine({"a": 1.0, "b": -0.5}, {"a": torch.ones(2), "b": torch.ones(2)})
        tensor([0.5000, 0.5000])

    factors: as `parse` returns them; tensors: one of the same shape for each.
    """
    return torch.stack([factor * tensors[name] for name, factor in factors.items()]).sum(0)


class _Reader:
    def __init__(self, text: str):
        self.text = text
        self.tokens = [
            _Token(str(match.lastgroup), match[match.lastgroup], match.start(match.lastgroup))
            for match in _TOKEN.finditer(text)
            if match.lastgroup
        ]
        self.tokens.append(_Token("end", "the end", len(text.rstrip())))

    @property
    def next(self) -> _Token:
        return self.tokens[0]

    def error(self, expected: str) -> InputError:
        token, at = self.next.text, self.next.place
        shown = f"{self.text[:at]} >>>{self.text[at:]}" if token != "the end" else f"{self.text}>>>"
        return InputError(
            f"expression, character {at + 1}: found {token}, expected {expected}: {shown}"
        )

    def take(self, *signs: str) -> str:
        """The next token's text, if it is one of these signs; else nothing is taken."""
        if self.next.kind == "sign" and self.next.text in signs:
            return self.tokens.pop(0).text
        return ""

    def expression(self, depth: int) -> dict[str, float]:
        if depth > _DEEPEST:
            raise self.error(f"at most {_DEEPEST} parentheses in each other")
        total: dict[str, float] = {}
        sign = ""
        while True:
            term = self.term(depth)
            for name, factor in term.items():
                total[name] = total.get(name, 0.0) + (-factor if sign == "-" else factor)
            sign = self.take("+", "-")
            if not sign:
                return total

    def term(self, depth: int) -> dict[str, float]:
        product = self.factor(depth)
        while self.next.text in ("*", "/"):
            sign, here = self.take("*", "/"), self.next
            other = self.factor(depth)
            if set(product) == {_ONE} and sign == "*":
                product, other = other, product
            if set(other) != {_ONE} or (sign == "/" and not other[_ONE]):
                self.tokens.insert(0, here)
                raise self.error("a number" + (" other than 0" if sign == "/" else ""))
            by = other[_ONE] if sign == "*" else 1 / other[_ONE]
            product = {name: factor * by for name, factor in product.items()}
        return product

    def factor(self, depth: int) -> dict[str, float]:
        sign = 1.0
        while taken := self.take("+", "-"):
            sign = -sign if taken == "-" else sign
        return {name: sign * factor for name, factor in self.unsigned(depth).items()}

    def unsigned(self, depth: int) -> dict[str, float]:
        kind, text, _ = self.next
        if kind == "number":
            self.tokens.pop(0)
            return {_ONE: float(text)}
        if kind in ("name", "sample"):
            name = self.tokens.pop(0).text
            return self.mean(depth) if text == "mean" and self.take("(") else {name: 1.0}
        if self.take("("):
            inside = self.expression(depth + 1)
            self.close(")")
            return inside
        raise self.error("a name, a sample (as 3:17), a number or (")

    def mean(self, depth: int) -> dict[str, float]:
        parts = [self.expression(depth + 1)]
        while self.take(","):
            parts.append(self.expression(depth + 1))
        self.close(")")
        names = dict.fromkeys(name for part in parts for name in part)
        return {n: sum(part.get(n, 0.0) for part in parts) / len(parts) for n in names}

    def close(self, sign: str) -> None:
        if not self.take(sign):
            raise self.error(sign)
