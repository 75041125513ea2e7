"""The command `stock`, and the main file of the job."""

import argparse

from pyspark.sql import SparkSession
from pyspark.sql.functions import udf

from stock.levels.limits import is_short

STOCK = [("bolts", 99), ("nuts", 50), ("washers", 0)]


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="stock")
    parser.add_argument("--app-name", default="stock")
    spark = SparkSession.builder.appName(parser.parse_args(arguments).app_name).getOrCreate()
    stock = spark.createDataFrame(STOCK, ["product", "count"])
    short = stock.filter(udf(is_short, "boolean")("product", "count"))
    print("RESULT", " ".join(row[0] for row in short.orderBy("product").collect()))


if __name__ == "__main__":
    main()
