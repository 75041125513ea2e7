from slugify import slugify

from shared.names import NAMES


def run(spark):
    rows = spark.createDataFrame([(name,) for name in NAMES], ["name"]).collect()
    return sorted(slugify(row.name) for row in rows)
