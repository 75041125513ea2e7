import argparse
import importlib

from pyspark.sql import SparkSession

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", default="churn")
    job = importlib.import_module("jobs." + parser.parse_args().job)
    print("RESULT makefile", job.run(SparkSession.builder.getOrCreate()))
