"""Counts steps by floor. What a floor is called is data of a package."""

import json
from pathlib import Path

from dependencies.floors import name_of
from dependencies.spark import start_spark


def transform(steps, per_floor):
    return steps.rdd.map(lambda row: (name_of(row.steps // per_floor), 1)).reduceByKey(lambda a, b: a + b)


def main():
    spark = start_spark("root-packages")
    config = json.loads((Path(__file__).parent / "configs" / "etl_config.json").read_text())
    steps = spark.createDataFrame([(steps,) for steps in config["steps"]], ["steps"])
    print("RESULT root-packages", sorted(transform(steps, config["steps_per_floor"]).collect()))
    spark.stop()


if __name__ == "__main__":
    main()
