"""The jobs' results, computed a second time without Spark, numpy or rapidfuzz."""

import statistics

import pandas
import pytest

from shared import penguins

COLUMNS = [column.split()[0] for column in penguins.SCHEMA.split(", ")]


def birds(**wanted):
    rows = [dict(zip(COLUMNS, row)) for row in penguins.rows()]
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def expected_line(species):
    pairs = [(b["flipper_length_mm"], b["body_mass_g"]) for b in birds(species=species) if b["body_mass_g"]]
    flipper, mass = zip(*pairs)
    slope = statistics.linear_regression(flipper, mass).slope
    return len(pairs), slope, statistics.correlation(flipper, mass) ** 2, statistics.median(mass)


@pytest.mark.parametrize("species", penguins.SPECIES)
def test_the_line_of_a_species(species):
    flippers = pytest.importorskip("jobs.flippers")
    row = flippers.fit(pandas.DataFrame(birds(species=species))).iloc[0]
    count, slope, r_squared, median = expected_line(species)
    assert (row.species, row.measured, row.median_body_mass_g) == (species, count, median)
    assert row.grams_per_mm == pytest.approx(slope, abs=0.0006)
    assert row.r_squared == pytest.approx(r_squared, abs=0.00006)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("Adelie Penguin (Pygoscelis adeliae)", ("adelie-penguin-pygoscelis-adeliae", "Adelie", 100.0)),
        ("Gentoo penguin (Pygoscelis papua)", ("gentoo-penguin-pygoscelis-papua", "Gentoo", 100.0)),
        ("Gnetoo", ("gnetoo", "Gentoo", pytest.approx(83.3, abs=10))),
    ],
)
def test_a_label_names_a_species(label, expected):
    pytest.importorskip("pyspark")
    from jobs import labels

    assert labels.match(label) == expected


@pytest.mark.parametrize("year", [None, 2007, 2008, 2009])
def test_islands(spark, year):
    from jobs import islands

    rows = [row.asDict() for row in islands.analyze(spark, **({} if year is None else {"year": str(year)})).collect()]
    wanted = birds() if year is None else birds(year=year)
    expected = []
    for island, species in sorted({(b["island"], b["species"]) for b in wanted}):
        here = [b for b in wanted if (b["island"], b["species"]) == (island, species)]
        masses = [b["body_mass_g"] for b in here if b["body_mass_g"] is not None]
        expected.append(
            {
                "island": island,
                "species": species,
                "penguins": len(here),
                "weighed": len(masses),
                "mean_body_mass_g": pytest.approx(statistics.fmean(masses), abs=0.006),
                "heaviest_g": max(masses),
            }
        )
    assert rows == expected


def test_flippers_on_executors(spark):
    from jobs import flippers

    rows = flippers.analyze(spark).collect()
    assert [row.species for row in rows] == sorted(penguins.SPECIES)
    for row in rows:
        count, slope, _, median = expected_line(row.species)
        assert (row.measured, row.median_body_mass_g) == (count, median)
        assert row.grams_per_mm == pytest.approx(slope, abs=0.0006)
    assert [row.species for row in flippers.analyze(spark, species="Gentoo").collect()] == ["Gentoo"]


def test_labels_on_executors(spark):
    from jobs import labels

    rows = labels.analyze(spark).collect()
    assert [(row.species, row.score, row.penguins) for row in rows] == [
        (species, 100.0, len(birds(species=species))) for species in penguins.SPECIES
    ]


def test_driver_and_executors_import_the_same(spark):
    from jobs import runtime

    rows = [tuple(row) for row in runtime.analyze(spark, modules="numpy, rapidfuzz,shared").collect()]
    driver = [row[1:] for row in rows if row[0] == "driver"]
    executor = [row[1:] for row in rows if row[0] == "executor"]
    assert driver == executor
    assert [(module, native) for module, _, _, native in driver] == [
        ("numpy", True),
        ("rapidfuzz", True),
        ("shared", False),
    ]


def test_a_module_that_cannot_be_imported_fails_the_job(spark):
    from jobs import runtime

    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        runtime.analyze(spark, modules="no_such_module")
