from parcels import __version__
from parcels.zones import price


def main():
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import udf

    spark = SparkSession.builder.appName("package-with-cli").getOrCreate()
    parcels = spark.createDataFrame([("near", 3), ("far", 2)], ["zone", "weight"])
    priced = parcels.select("zone", udf(price, "int")("zone", "weight").alias("price")).collect()
    print("RESULT package-with-cli", __version__, sorted(tuple(row) for row in priced))
    spark.stop()


if __name__ == "__main__":
    main()
