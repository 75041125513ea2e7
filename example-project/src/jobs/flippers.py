"""How much heavier a penguin is for each millimetre of flipper, a line for each species.

A grouped pandas UDF: numpy, pandas and pyarrow run on the executors, inside Python
workers that import this very module, and `shared` with it.
"""

import numpy
import pandas
import pyarrow
import pyarrow.compute

from shared import measures, penguins

SCHEMA = (
    "species string, measured long, grams_per_mm double, r_squared double, "
    "median_body_mass_g double"
)


def fit(birds):
    """The least-squares line of body mass (g) on flipper length (mm), of one species' pandas frame."""
    measured = measures.complete(birds, ["flipper_length_mm", "body_mass_g"])
    flipper = measured["flipper_length_mm"].to_numpy(dtype="float64")
    mass = measured["body_mass_g"].to_numpy(dtype="float64")
    slope, _ = numpy.polyfit(flipper, mass, deg=1)
    correlation = numpy.corrcoef(flipper, mass)[0, 1]
    median = pyarrow.compute.quantile(pyarrow.array(mass), q=0.5)[0].as_py()
    return pandas.DataFrame(
        {
            "species": [birds["species"].iloc[0]],
            "measured": [len(measured)],
            "grams_per_mm": [round(float(slope), 3)],
            "r_squared": [round(float(correlation**2), 4)],
            "median_body_mass_g": [median],
        }
    )


def analyze(spark, species=None):
    """One row a species; `species` keeps one of them."""
    birds = penguins.frame(spark)
    if species is not None:
        birds = birds.where(birds.species == species)
    return birds.groupBy("species").applyInPandas(fit, SCHEMA).orderBy("species")
