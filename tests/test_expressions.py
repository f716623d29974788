"""Sums of concepts are read as arithmetic has them, and nothing else is."""

from __future__ import annotations

import ast
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_probe.errors import InputError
from dcgan_probe.latents.expressions import parse

NAMES = {"a": 2.0, "b": -3.5, "c": 7.25}


def sums() -> st.SearchStrategy[str]:
    numbers = st.sampled_from(["2", "0.5", "3.", ".25"])
    return st.recursive(
        st.sampled_from(list(NAMES)),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from([" + ", "-", " - "]), inner).map("".join),
            st.tuples(numbers, st.just(" * ("), inner, st.just(")")).map("".join),
            st.tuples(st.just("("), inner, st.just(")*"), numbers).map("".join),
            st.tuples(st.just("("), inner, st.just(") / "), numbers).map("".join),
            st.tuples(st.just("-("), inner, st.just(")")).map("".join),
        ),
        max_leaves=8,
    )


@settings(deadline=None)
@given(text=sums())
def test_the_coefficients_give_what_python_makes_of_the_same_sum(text):
    # eval is the other implementation, on text that this test wrote.
    expected = eval(compile(ast.parse(text, mode="eval"), "", "eval"), {}, dict(NAMES))
    try:
        found = sum(factor * NAMES[name] for name, factor in parse(text).items())
    except InputError as error:
        if "expected at most 1000" in str(error):
            return
        assert "a sum of nothing" in str(error)
        found = 0.0
    assert math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9)


def test_samples_and_means():
    assert parse("mean(3:17, a, b - a) - 2 * 3:17") == {"3:17": 1 / 3 - 2, "a": 0.0, "b": 1 / 3}
    assert parse("mean + smiling_woman") == {"mean": 1.0, "smiling_woman": 1.0}


@pytest.mark.parametrize(
    ("text", "character", "found"),
    [
        ("a - * b", 5, "found *"),
        ("a b", 3, "found b"),
        ("(a", 3, "found the end, expected )"),
        ("a * b", 5, "found b, expected a number"),
        ("a / 0", 5, "found 0, expected a number other than 0"),
        ("a $ b", 3, "found $"),
        ("", 1, "found the end"),
        ("3:17:4", 5, "found :"),
        ("mean()", 6, "found )"),
        ("__import__('os')", 11, "found ("),
        ("(" * 60 + "a", 52, "at most 50"),
    ],
)
def test_a_mistake_is_pointed_at(text, character, found):
    with pytest.raises(InputError) as error:
        parse(text)
    assert f"character {character}: " in str(error.value)
    assert found in str(error.value)


@pytest.mark.parametrize(
    "text", ["2", "a + 1", "a - a", "9" * 200 + "* (" + "9" * 200 + "* a)", "1001*a"]
)
def test_what_is_no_sum_of_latents_is_refused(text):
    with pytest.raises(InputError, match="^expression"):
        parse(text)
