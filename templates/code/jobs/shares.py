"""The share of each order in what its country brings in.

A grouped pandas UDF: pandas runs on the executors, inside Python workers that import this very module.
"""

from slugify import slugify

from @prefix@shared import orders

SCHEMA = "id long, country string, share double"


def shares(frame):
    """The shares of one country's orders, a pandas frame."""
    result = frame[["id", "country"]].copy()
    result["country"] = result["country"].map(slugify)
    result["share"] = (frame["amount"] / frame["amount"].sum()).round(4)
    return result


def analyze(spark, year=None):
    """One row an order."""
    return orders.frame(spark, year).groupBy("country").applyInPandas(shares, SCHEMA).orderBy("id")
