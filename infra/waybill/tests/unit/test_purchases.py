"""Reading purchases: what a line means, and what is refused."""

from pathlib import Path

import pytest

from waybill.errors import UsageError
from waybill.replay.purchases import Sale, read

HEAD = "customer_id,date,quantity,amount\n"


def file_with(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "purchases.csv"
    path.write_text(text)
    return path


def test_a_line_is_one_unit_of_a_product_at_its_whole_price(tmp_path: Path) -> None:
    sales = read(file_with(tmp_path, HEAD + "00004,1997-01-01,2,29.33\n"))
    assert sales == [Sale(2, "00004", 2, 2933)]
    assert sales[0].sku == "cd-2x-2933"


def test_a_purchase_for_nothing_is_one(tmp_path: Path) -> None:
    assert read(file_with(tmp_path, HEAD + "1,1997-01-01,1,0.00\n"))[0].amount_minor == 0


def test_a_limit_reads_only_so_many(tmp_path: Path) -> None:
    assert len(read(file_with(tmp_path, HEAD + "1,1997-01-01,1,1.00\n" * 5), limit=2)) == 2


@pytest.mark.parametrize(
    "line",
    [
        "1,1997-13-01,1,1.00",
        "1,1997-01-01,0,1.00",
        "1,1997-01-01,1,-1",
        "1,1997-01-01,1,1.005",
        ",1997-01-01,1,1.00",
        "1",
    ],
)
def test_a_line_that_is_no_purchase_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(UsageError, match=r"line 2: .* is no purchase"):
        read(file_with(tmp_path, HEAD + line + "\n"))


@pytest.mark.parametrize("text", ["", "customer,date,quantity,amount\n", HEAD.replace("\n", ",more\n")])
def test_other_columns_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="must have the columns customer_id,date,quantity,amount"):
        read(file_with(tmp_path, text))


def test_a_file_without_purchases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no purchases"):
        read(file_with(tmp_path, HEAD))


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read: No such file"):
        read(tmp_path / "none.csv")
