from importlib.resources import files

from pyspark.sql import SparkSession


def main():
    spark = SparkSession.builder.appName("tide-tables").getOrCreate()
    query = (files("tide_tables") / "sql" / "highest.sql").read_text()
    spark.createDataFrame([("east", 2.5), ("west", 1.5)], ["harbour", "level"]).createOrReplaceTempView("levels")
    print("RESULT envsubst", [tuple(row) for row in spark.sql(query).collect()])


if __name__ == "__main__":
    main()
