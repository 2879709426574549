import re
from functools import partial
from pathlib import Path

import pytest
from bench import PAGE, PARTS, write
from hops_peers import PEERS, Absent, java_program
from hops_records import PARCELS, cents, weighed
from hops_witness import verdict
from lane import priced
from side_by_side import Figures, GaveUp, Table, compared, in_turns, medians


async def order_of_turns(names: str, rounds: int) -> tuple[str, dict[str, list[Figures]]]:
    seen = list[str]()

    async def measure(name: str) -> Figures:
        seen.append(name)
        return {"turn": len(seen)}

    found = await in_turns({name: partial(measure, name) for name in names}, rounds, [])
    return "".join(seen), found


async def test_each_has_its_turn_once_a_round_and_another_one_begins_each_round() -> None:
    seen, _ = await order_of_turns("abc", rounds=3)
    assert seen == "abc" + "bca" + "cab" + "abc"


async def test_what_the_warm_up_measured_is_forgotten() -> None:
    _, found = await order_of_turns("ab", rounds=2)
    assert found == {"a": [{"turn": 4}, {"turn": 5}], "b": [{"turn": 3}, {"turn": 6}]}


async def test_who_gives_up_has_no_more_turns_and_a_note() -> None:
    turns = list[str]()

    async def measure(name: str) -> Figures:
        turns.append(name)
        if turns == ["a", "b", "b"]:
            raise GaveUp("it is tired")
        return {"turn": len(turns)}

    notes = list[str]()
    found = await in_turns({name: partial(measure, name) for name in "ab"}, 2, notes)
    assert "".join(turns) == "abbaa"
    assert found == {"a": [{"turn": 4}, {"turn": 5}]}
    assert notes == ["b is not in the table: it is tired"]


def test_the_median_of_a_figure_that_a_run_lacks_counts_as_nothing() -> None:
    assert medians([{"fast": 1, "late": 9}, {"fast": 3}, {"fast": 2}]) == {"fast": 2, "late": 0}


def test_a_multiple_of_the_reference_stands_behind_its_figure() -> None:
    rows: dict[str, Figures] = {"hand": {"rate": 40_000, "cpu": 9}, "ours": {"rate": 30_000, "cpu": 12}}
    found = compared(rows, "rate", "hand")
    assert list(found["ours"]) == ["rate", "x hand", "cpu"]
    assert found["ours"]["x hand"] == 0.75


def test_a_table_shows_every_row_and_leaves_out_what_was_not_measured() -> None:
    table = Table("t", "A title", "Told.", {"a": {"x": 1234.5}, "b": {"x": 0.256, "y": 2}}, ["c is not here"])
    assert table.markdown().splitlines() == [
        "### A title", "", "Told.", "",
        "| | x | y |", "|---|---|---|", "| a | 1,234 |  |", "| b | 0.26 | 2 |",
        "", "- c is not here",
    ]  # fmt: skip


def test_a_table_takes_the_place_of_the_one_before_and_leaves_the_rest_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Costs\n<!-- t -->\nold\n<!-- end of t -->\n<!-- u -->\nkept\n<!-- end of u -->\n")
    for title in ("First", "Second"):
        write(page, "2 cores", Table("t", title, "Told.", {"a": {"x": 1}}))
    text = page.read_text()
    assert text.startswith("# Costs\n<!-- t -->\n### Second\n")
    assert text.endswith("<!-- end of t -->\n<!-- u -->\nkept\n<!-- end of u -->\n")
    assert "\nold\n" not in text
    assert "First" not in text
    assert ": 2 cores." in text


def test_the_page_has_a_place_for_each_table() -> None:
    text = PAGE.read_text()
    names = [name for tables in PARTS.values() for name in tables]
    assert [
        name for name in names if text.count(f"<!-- {name} -->") != 1 or f"<!-- end of {name} -->" not in text
    ] == []


def answers(numbers: range) -> list[dict[str, int]]:
    return [{"number": number, "cents": cents(number)} for number in numbers]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (answers(range(5, 9)), {"lost": 0, "doubled": 0, "wrong": 0}),
        (answers(range(5, 8)), {"lost": 1, "doubled": 0, "wrong": 0}),
        ([*answers(range(5, 9)), *answers(range(5, 6))], {"lost": 0, "doubled": 1, "wrong": 0}),
        ([*answers(range(5, 8)), {"number": 8, "cents": 1}], {"lost": 0, "doubled": 0, "wrong": 1}),
        (answers(range(5, 10)), {"lost": 0, "doubled": 0, "wrong": 1}),
    ],
)
def test_the_witness_counts_what_is_lost_doubled_and_wrong(
    outputs: list[dict[str, int]], expected: dict[str, int]
) -> None:
    assert verdict(outputs, range(5, 9)) == expected


def test_the_witness_and_the_competitors_agree_on_prices() -> None:
    for number in (0, 7, 899, PARCELS + 1):
        assert priced(weighed(number))["cents"] == cents(number)


def test_without_a_jdk_kafka_streams_is_absent_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Absent, match="no javac"):
        java_program()


def test_the_peers_environments_have_no_package_without_a_hash() -> None:
    for lock in PEERS.glob("*.lock"):
        text = lock.read_text()
        pinned = re.findall(r"^\S+==\S+", text, re.MULTILINE)
        assert len(re.findall(r"^\S+==[^\n]*\\\n    --hash=sha256:", text, re.MULTILINE)) == len(pinned)
