"""Matches the species as the field books spell them with the three short names.

The books say `Adelie Penguin (Pygoscelis adeliae)`, the cleaned table says `Adelie`.
Matching runs on the executors: with rapidfuzz, which is native code, and slugify,
which is pure Python and needs a data file out of libs.zip.
"""

import pandas
from pyspark.sql import functions as F
from rapidfuzz import fuzz, process
from slugify import slugify

from shared import penguins

SCHEMA = "label string, slug string, species string, score double"


def match(label):
    """The slug of a label, the species that it names, and how well: 0 to 100."""
    species, score, _ = process.extractOne(label, penguins.SPECIES, scorer=fuzz.partial_ratio)
    return slugify(label), species, score


def match_all(batches):
    """Turns pandas frames of labels into pandas frames of matches."""
    for batch in batches:
        rows = [(label, *match(label)) for label in batch["label"]]
        yield pandas.DataFrame(rows, columns=["label", "slug", "species", "score"])


def analyze(spark):
    """One row a label, with the number of birds that were written down under it."""
    labels = spark.createDataFrame([(label,) for label in penguins.labels()], "label string")
    return (
        labels.mapInPandas(match_all, SCHEMA)
        .groupBy("label", "slug", "species", "score")
        .agg(F.count("*").alias("penguins"))
        .orderBy("species", "label")
    )
