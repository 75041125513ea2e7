from tides.harbours import offset
from tides.queries import query

LEVELS = [("east", 1.0), ("east", 2.0), ("west", 3.0), ("west", 1.5)]


def run(name):
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName(f"package-with-data-{name}").getOrCreate()
    spark.createDataFrame(LEVELS, ["harbour", "level"]).createOrReplaceTempView("levels")
    spark.udf.register("offset", offset, "double")
    rows = spark.sql(query(name)).collect()
    print("RESULT package-with-data", name, [tuple(row) for row in rows])
    spark.stop()
