"""How many penguins of each species live on each island, and how heavy they are.

Plain DataFrames: nothing here needs a Python package on the executors.
"""

from pyspark.sql import functions as F

from shared import penguins


def analyze(spark, year=None):
    """One row an island and species; `year` (2007 to 2009) keeps one season only."""
    birds = penguins.frame(spark)
    if year is not None:
        birds = birds.where(F.col("year") == int(year))
    return (
        birds.groupBy("island", "species")
        .agg(
            F.count("*").alias("penguins"),
            F.count("body_mass_g").alias("weighed"),
            F.round(F.avg("body_mass_g"), 2).alias("mean_body_mass_g"),
            F.max("body_mass_g").alias("heaviest_g"),
        )
        .orderBy("island", "species")
    )
