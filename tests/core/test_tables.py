"""Tables merge as the data behind them does; without this every rank would be a special case."""

import json

import numpy as np
import pytest
from hypothesis import given

from tests.core.strategies import Data, batch, data, tables
from torchvitals.core.errors import FieldError
from torchvitals.core.tables import MERGES, NONE_BAD, ROWS, Table


def by_name(table: Table) -> dict[str, dict]:
    """Rows of a table without their order."""
    plain = table.to_dict()
    return {
        name: {key: column[i] for key, column in (plain["columns"] | plain["units"]).items()}
        for i, name in enumerate(plain["names"])
    }


@given(data, data)
def test_merge_is_summary_of_concatenation(ours, theirs):
    together = {
        name: ours.batches.get(name, []) + theirs.batches.get(name, [])
        for name in ours.batches | theirs.batches
    }
    merged, whole = by_name(ours.table().merge(theirs.table())), by_name(Data(together).table())
    for row in (*merged.values(), *whole.values()):
        row.pop("first_bad")  # batches are numbered: see the test of its own
    assert merged == whole


@given(data, data)
def test_merge_is_commutative_up_to_the_order_of_rows(ours, theirs):
    assert by_name(ours.table().merge(theirs.table())) == by_name(theirs.table().merge(ours.table()))


@given(data, data, data)
def test_merge_is_associative(a, b, c):
    x, y, z = a.table(), b.table(), c.table()
    assert x.merge(y).merge(z) == x.merge(y.merge(z))


@given(data)
def test_an_empty_table_changes_nothing(some):
    table, nothing = some.table(), Table("site", ())
    assert by_name(table.merge(nothing)) == by_name(table)
    assert by_name(nothing.merge(table)) == by_name(table)


@given(batch, batch)
def test_the_first_bad_sample_of_two_batches_is_that_of_the_earlier_bad_one(first, second):
    merged = Data({"x": first}, 3).table().merge(Data({"x": second}, 4).table())
    expected = [
        number * ROWS + row
        for number, rows in ((3, first), (4, second))
        for row, values in enumerate(rows)
        if not np.isfinite(values).all()
    ]
    if first or second:
        assert merged["first_bad"][0] == min(expected, default=NONE_BAD)


@given(data, data)
def test_merging_leaves_both_tables_as_they_were(ours, theirs):
    x, y = ours.table(), theirs.table()
    before = x.to_dict(), y.to_dict()
    x.merge(y)
    assert (x.to_dict(), y.to_dict()) == before


def test_rows_keep_the_order_of_the_first_table_and_new_ones_follow():
    ours, theirs = Data({"b": [[1.0] * 3], "a": [[1.0] * 3]}), Data({"c": [[1.0] * 3], "a": [[1.0] * 3]})
    assert ours.table().merge(theirs.table()).names == ("b", "a", "c")


def test_a_site_that_one_batch_did_not_reach_is_absent_and_not_zero():
    ours, theirs = Data({"always": [[1.0] * 3]}), Data({"always": [[1.0] * 3], "expert": [[2.0] * 3]})
    merged = ours.table().merge(theirs.table())
    assert merged["count"][merged.index("expert")] == 3
    with pytest.raises(ValueError, match="not in tuple"):
        merged.index("never")


def test_a_statistic_that_only_one_table_has_is_left_out_in_either_order():
    rich = Table("g", ("w",), {"count": np.ones(1), "sum": np.ones(1)})
    poor = Table("g", ("w",), {"count": np.ones(1)})
    assert rich.merge(poor) == poor.merge(rich)
    assert set(rich.merge(poor).columns) == {"count"}


@pytest.mark.parametrize("widths", [(3, 5), (5, 3), (1, 4), (0, 2)], ids=str)
def test_units_that_do_not_correspond_count_as_fired(widths):
    ours, theirs = (Table("s", ("x",), {}, {"fired": (np.zeros(n, bool),)}) for n in widths)
    (bits,) = ours.merge(theirs).units["fired"]
    assert bits.tolist() == [True] * max(widths)


@given(tables())
def test_a_table_survives_json_unchanged(table):
    text = json.dumps(table.to_dict(), allow_nan=False)
    back = Table.from_dict("site", json.loads(text))
    assert back == table
    assert {name: c.dtype.kind for name, c in back.columns.items()} == {
        name: "U" if name == "op" else "f" for name in table.columns
    }


def test_a_merge_rule_is_declared_for_every_statistic_that_has_a_meaning_in_a_table():
    assert set(Data({"x": [[1.0] * 3]}).table().columns) < set(MERGES)


def test_tables_of_two_kinds_are_not_equal():
    assert Table("gradient", ("w",)) != Table("update", ("w",))
    assert Table("gradient", ("w",)) != "gradient"


def test_rows_can_be_taken_in_any_order():
    table = Data({"a": [[1.0] * 3], "b": [[2.0] * 3], "c": [[3.0] * 3]}).table()
    assert table.take([2, 0]) == Data({"c": [[3.0] * 3], "a": [[1.0] * 3]}).table()


def test_norm_and_rms_are_those_of_the_finite_entries():
    table = Data({"x": [[3.0, 4.0, float("nan")]]}).table()
    assert table.norm.tolist() == [5.0]
    assert table.rms.tolist() == [pytest.approx((25 / 2) ** 0.5)]


def test_rms_of_a_row_without_a_finite_entry_is_zero():
    assert Data({"x": [[float("inf")] * 3]}).table().rms.tolist() == [0.0]


def test_an_unknown_statistic_is_refused_by_name():
    with pytest.raises(FieldError, match=r"^statistic='mean' is not possible\. Give one of count, nonfinite"):
        Table("g", ("w",), {"mean": np.ones(1)})


def test_a_column_of_the_wrong_length_is_refused_with_both_lengths():
    expected = r"^gradient\.count='3 entries' is not possible\. Give 1, one a row\.$"
    with pytest.raises(FieldError, match=expected):
        Table("gradient", ("w",), {"count": np.ones(3)})
