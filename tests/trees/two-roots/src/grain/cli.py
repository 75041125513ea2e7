from pyspark.sql import SparkSession
from slugify import slugify

from sharedlib.units import tonnes


def main():
    spark = SparkSession.builder.appName("grain").getOrCreate()
    rows = spark.createDataFrame([("Silo Süd", 1500)], ["silo", "kg"]).collect()
    print("RESULT two-roots", [(slugify(row.silo), tonnes(row.kg)) for row in rows])


if __name__ == "__main__":
    main()
