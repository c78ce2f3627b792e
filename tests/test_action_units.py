from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer_features.action_units import AU, FLAGS, SIDE_NAMES, ActionUnits, flag, parse, table


@pytest.mark.parametrize(
    ("text", "canonical", "unread"),
    [
        ("12", "12", ()),
        ("4+7+L10", "4+7+L10", ()),
        ("R2+15", "R2+15", ()),
        ("12L", "L12", ()),
        ("4R+7", "R4+7", ()),
        ("r18", "R18", ()),
        ("L12 + 61", "L12+61", ()),
        ("AU4+AU12", "4+12", ()),
        ("LAU4", "L4", ()),
        ("A12", "A12", ()),
        ("10+9+4+B28+T24", "10+9+4+B28+T24", ()),
        ("12+15+B28+B28", "12+15+B28", ()),
        ("R4,5,16,38", "R4+5+16+38", ()),
        ("4，11", "4+11", ()),
        ("4,24,6+12+15", "4+24+6+12+15", ()),
        ("L1,10,", "L1+10", ()),
        ("", "", ()),
        ("?", "", ("?",)),
        ("NULL", "", ("NULL",)),
        ("4+?", "4", ("?",)),
        ("14or23", "", ("14or23",)),
        ("R14+17+soft focus", "R14+17", ("soft focus",)),
        ("L12R", "", ("L12R",)),
        ("0+112", "", ("0", "112")),
    ],
)
def test_owners_notations(text: str, canonical: str, unread: tuple[str, ...]):
    parsed = parse(text)
    assert (parsed.text, parsed.unread) == (canonical, unread)


units = st.builds(AU, st.integers(1, 99), st.sampled_from(list(SIDE_NAMES)))


@given(st.lists(units, unique=True, max_size=8))
def test_canonical_text_reads_back(expected: list[AU]):
    assert parse(ActionUnits(tuple(expected)).text) == ActionUnits(tuple(expected))


@given(st.text(alphabet="0123456789LRATBAU+,， ?()or", max_size=20))
def test_every_digit_ends_in_a_unit_or_in_unread(text: str):
    parsed = parse(text)
    found = {digit for unit in parsed.units for digit in str(unit.number)} | set("".join(parsed.unread))
    assert {letter for letter in text if letter.isdigit()} <= found


@pytest.mark.parametrize(("number", "side"), [(0, ""), (100, ""), (12, "X")])
def test_impossible_units_raise(number: int, side: str):
    with pytest.raises(ValueError, match="action unit"):
        AU(number, side)


def test_flags_keep_the_side_and_join_two_sides():
    assert flag([]) == FLAGS["absent"] == 0
    assert flag(["L"]) == FLAGS["left"]
    assert flag(["L", "L"]) == FLAGS["left"]
    assert flag(["L", "R"]) == flag(["", "R"]) == FLAGS["present"]


def test_table_has_a_column_for_every_unit_seen():
    numbers, flags = table([parse("4+R12"), parse("?"), parse("L12+1+R12")])
    np.testing.assert_array_equal(numbers, [1, 4, 12])
    np.testing.assert_array_equal(flags, [[0, 1, FLAGS["right"]], [0, 0, 0], [1, 0, FLAGS["present"]]])
    assert (numbers.dtype, flags.dtype) == (np.int16, np.int8)


def test_table_without_any_unit_is_empty_but_keeps_its_rows():
    numbers, flags = table([parse(""), parse("?")])
    assert (numbers.shape, flags.shape) == ((0,), (2, 0))
