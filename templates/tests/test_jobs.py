"""The jobs' results, computed a second time without Spark."""

import pytest

from @prefix@shared import orders, output


def revenues(year):
    sums = {}
    for _, _, country, amount in orders.rows(year):
        count, total = sums.get(country, (0, 0.0))
        sums[country] = (count + 1, total + amount)
    return sums


def test_the_orders_of_a_year():
    assert len(orders.rows()) == 12
    assert [row[0] for row in orders.rows(2024)] == [1, 2, 3, 4]


def test_a_result_is_written(tmp_path):
    path = output.write_csv(tmp_path / "new", "revenue", [{"country": "Italia", "orders": 2}])
    assert path.read_text(encoding="utf-8") == "country,orders\nItalia,2\n"


@pytest.mark.parametrize("year", [None, 2024, 2025])
def test_revenue(spark, year):
    from @prefix@jobs import revenue

    rows = revenue.analyze(spark, year).collect()
    assert {row.country: (row.orders, row.revenue) for row in rows} == {
        country: (count, pytest.approx(total, abs=0.006)) for country, (count, total) in revenues(year).items()
    }


def test_shares(spark):
    pytest.importorskip("pandas")
    from @prefix@jobs import shares

    rows = shares.analyze(spark, 2024).collect()
    assert [row.id for row in rows] == [1, 2, 3, 4]
    assert [row.country for row in rows] == ["osterreich", "italia", "osterreich", "slovenija"]
    total = revenues(2024)["Österreich"][1]
    assert rows[0].share == pytest.approx(120.50 / total, abs=0.00006)
