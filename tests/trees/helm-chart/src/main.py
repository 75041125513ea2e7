from pyspark.sql import SparkSession
from pyspark.sql.functions import udf

from tariffs.rates import price


def main():
    spark = SparkSession.builder.appName("tariffs").getOrCreate()
    parcels = spark.createDataFrame([("near", 3), ("far", 2)], ["zone", "weight"])
    priced = parcels.select(udf(price, "int")("zone", "weight").alias("price"))
    print("RESULT helm-chart", sorted(row.price for row in priced.collect()))


if __name__ == "__main__":
    main()
