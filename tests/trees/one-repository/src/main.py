from pyspark.sql import SparkSession

from readings.clean import is_plausible

if __name__ == "__main__":
    spark = SparkSession.builder.appName("meters").getOrCreate()
    rows = spark.createDataFrame([(1,), (-1,)], ["kwh"]).collect()
    print("RESULT one-repository", [row.kwh for row in rows if is_plausible(row.kwh)])
