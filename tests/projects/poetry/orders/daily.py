"""The orders of a day in euro: `daily.py`, run by spark-submit."""

from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
from pyspark.sql.types import DoubleType, StringType
from slugify import slugify

ORDERS = [("Grüner Tee", 20.0, "CHF"), ("Kanelbulle", 300.0, "SEK"), ("Grüner Tee", 9.0, "EUR")]


@udf(DoubleType())
def euro(amount, currency):
    from orders.rates import in_euro

    return in_euro(amount, currency)


@udf(StringType())
def key(product):
    return slugify(product)


def main():
    spark = SparkSession.builder.appName("orders").getOrCreate()
    orders = spark.createDataFrame(ORDERS, ["product", "amount", "currency"])
    rows = orders.select(key("product").alias("key"), euro("amount", "currency").alias("euro"))
    totals = rows.groupBy("key").sum("euro").orderBy("key").collect()
    print("RESULT", " ".join(f"{row[0]}={row[1]:.2f}" for row in totals))


if __name__ == "__main__":
    main()
