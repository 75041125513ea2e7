from shared.words import is_wanted

TEXT = ["the wind and the sea", "a wind from the north"]


def analyze(spark):
    from pyspark.sql.functions import udf

    wanted = udf(is_wanted, "boolean")
    words = spark.createDataFrame([(word,) for line in TEXT for word in line.split()], ["word"])
    counts = words.where(wanted("word")).groupBy("word").count().collect()
    return sorted((row["word"], row["count"]) for row in counts)
