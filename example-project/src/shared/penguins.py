"""The Palmer penguins, read from the package: from a folder and from a zip alike."""

import csv
import io
from importlib import resources

SPECIES = ("Adelie", "Chinstrap", "Gentoo")

SCHEMA = (
    "species string, island string, bill_length_mm double, bill_depth_mm double, "
    "flipper_length_mm int, body_mass_g int, sex string, year int"
)

_CONVERT = {"string": str, "double": float, "int": int}


def rows():
    """The 344 penguins as tuples in the order of SCHEMA; a missing value is None."""
    columns = [column.split() for column in SCHEMA.split(", ")]
    return [
        tuple(_value(record[name], _CONVERT[kind]) for name, kind in columns)
        for record in _records("penguins.csv")
    ]


def labels():
    """The species of the 344 penguins as the field books spell them."""
    return [record["Species"] for record in _records("penguins-raw.csv")]


def frame(spark):
    """The penguins as a DataFrame."""
    return spark.createDataFrame(rows(), SCHEMA)


def _records(file):
    text = resources.files("shared.data").joinpath(file).read_text(encoding="utf-8")
    return csv.DictReader(io.StringIO(text, newline=""))


def _value(text, convert):
    return None if text in ("NA", "") else convert(text)
