from pyspark.sql import SparkSession

from helpers import label

if __name__ == "__main__":
    spark = SparkSession.builder.appName("arrivals").getOrCreate()
    print("RESULT", label("arrivals"), spark.range(2).count())
