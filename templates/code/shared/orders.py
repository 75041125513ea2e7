"""The orders, which travel inside the image."""

import csv
from datetime import date
from pathlib import Path

SCHEMA = "id long, day date, country string, amount double"


def rows(year=None):
    """The orders as tuples, all or those of a year."""
    # A folder beside this file, in a checkout as in an image.
    path = Path(__file__).parent / "data" / "orders.csv"
    with path.open(encoding="utf-8", newline="") as file:
        read = [
            (int(row["id"]), date.fromisoformat(row["day"]), row["country"], float(row["amount"]))
            for row in csv.DictReader(file)
        ]
    return [row for row in read if year is None or row[1].year == year]


def frame(spark, year=None):
    """The orders as a DataFrame."""
    return spark.createDataFrame(rows(year), SCHEMA)
