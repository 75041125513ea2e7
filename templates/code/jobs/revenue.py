"""What the orders bring in, a row for each country."""

from @prefix@shared import orders


def analyze(spark, year=None):
    """One row a country, by plain DataFrames."""
    from pyspark.sql import functions

    frame = orders.frame(spark, year)
    amount = functions.round(functions.sum("amount"), 2)
    result = frame.groupBy("country").agg(functions.count("*").alias("orders"), amount.alias("revenue"))
    return result.orderBy("country")
