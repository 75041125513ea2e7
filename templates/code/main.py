"""Runs one job: `main.py revenue --year 2025 --output /tmp/output`.

A job is a module of the package `@prefix@jobs` with a function `analyze(spark, year)` that returns a DataFrame. Everything
around it happens here: the arguments, the Spark session, the output.
"""

import argparse
import importlib
import json
import pkgutil

import @prefix@jobs
from @prefix@shared import output


def parse(arguments=None):
    names = sorted(module.name for module in pkgutil.iter_modules(@prefix@jobs.__path__))
    parser = argparse.ArgumentParser(prog="main.py", description="Runs one job on Spark.")
    parser.add_argument("job", choices=names)
    parser.add_argument("--year", type=int, help="only the orders of this year")
    parser.add_argument("--output", help="a folder for the result as CSV")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    job = importlib.import_module(f"@prefix@jobs.{options.job}")

    # Spark is not needed for `--help`, nor by tests of what is above.
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName(f"@name@-{options.job}").getOrCreate()
    try:
        rows = [row.asDict() for row in job.analyze(spark, options.year).collect()]
    finally:
        spark.stop()
    for row in rows:
        print(f"RESULT {json.dumps(row, ensure_ascii=False)}", flush=True)
    if options.output:
        print(f"wrote {output.write_csv(options.output, options.job, rows)}", flush=True)


if __name__ == "__main__":
    main()
