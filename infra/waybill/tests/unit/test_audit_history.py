"""What went back between two looks is seen, and judged by the invariants that need a history."""

from dataclasses import replace

import pytest

from waybill.audit.history import History, Look, Owned
from waybill.audit.invariants import judge
from waybill.audit.rehearsal import Rehearsal

PARTITION = ("orders", 0)


def look(*, committed: int = 5, next_offset: int = 9, epoch: int = 2, status: str = "paid") -> Look:
    return Look(
        {"inventory": {PARTITION: committed}}, {"inventory": {PARTITION: Owned(epoch, next_offset)}}, {"o1": status}
    )


def verdicts(*looks: Look) -> dict[str, bool | None]:
    history = History()
    for each in looks:
        history.add(each)
    shop = Rehearsal()
    shop.order("o1")
    return {each.id: each.ok for each in judge(replace(shop.evidence(), history=history))}


def test_a_watcher_that_saw_everything_grow_turns_the_question_mark_into_ok() -> None:
    judged = verdicts(look(), look(committed=6, next_offset=10, epoch=3, status="shipped"))

    assert judged["5b"] is True
    assert judged["11"] is None  # what was refused leaves nothing to look at
    assert False not in judged.values()


def test_one_look_shows_no_growth() -> None:
    assert verdicts(look())["5b"] is None


@pytest.mark.parametrize(
    ("later", "invariant"),
    [
        (look(committed=4), "5b"),
        (look(next_offset=8), "5b"),
        (look(epoch=1), "11"),
        (look(status="reserved"), "3"),
        (look(committed=10), "5"),
    ],
    ids=["offset back", "position back", "epoch back", "status back", "offset ahead"],
)
def test_what_went_back_and_forth_again_is_still_violated(later: Look, invariant: str) -> None:
    judged = verdicts(look(), later, look())

    assert {identity for identity, ok in judged.items() if ok is False} >= {invariant}


@pytest.mark.parametrize(("before", "after"), [("shipped", "declined"), ("shipped", "paid"), ("paid", "none")])
def test_an_end_is_for_good(before: str, after: str) -> None:
    assert verdicts(look(status=before), look(status=after))["3"] is False


def test_partitions_that_vanish_went_back_to_nothing() -> None:
    history = History()
    history.add(look())
    (kafkas, *postgresqls) = sorted(
        what.what for what in history.add(Look({"inventory": {}}, {"inventory": {}}, {"o1": "paid"}))
    )

    assert kafkas == "Kafka's offset went back from 5 to none"
    assert postgresqls == ["PostgreSQL's position went back from 9 to none", "its epoch went back from 2 to none"]
