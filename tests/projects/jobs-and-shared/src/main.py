"""Runs one job: `main.py --job wordcount`."""

import argparse
import importlib


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", default="wordcount")
    job = importlib.import_module(f"jobs.{parser.parse_args().job}")

    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName("jobs-and-shared").getOrCreate()
    print("RESULT jobs-and-shared", job.analyze(spark))
    spark.stop()


if __name__ == "__main__":
    main()
