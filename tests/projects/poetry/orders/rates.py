"""What a currency is worth, by the table beside this module."""

import csv
from functools import lru_cache
from importlib import resources


@lru_cache(maxsize=None)
def rates():
    text = resources.files("orders").joinpath("data/rates.csv").read_text(encoding="utf-8")
    return {row["currency"]: float(row["euro"]) for row in csv.DictReader(text.splitlines())}


def in_euro(amount, currency):
    return round(amount * rates()[currency], 2)
