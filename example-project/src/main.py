"""Runs one job: `main.py --job islands --job-args year=2008 --output gs://bucket/path`.

A job is a module of the package `jobs` with a function `analyze(spark, **arguments)`
that returns a DataFrame. Everything around it happens here: the arguments, the
Spark session, the output.
"""

import argparse
import importlib
import inspect
import os
import pkgutil
import sys
from pathlib import Path


def import_paths(folder):
    """The places beside this file that jobs are imported from, as the image orders them.

    On a laptop that is `src/` itself, or `dist/`, whose folder `jobs` holds all code. In the
    image they are on PYTHONPATH already, for the driver and for the executors.
    """
    if (folder / "jobs" / "__init__.py").is_file():
        return [str(folder)]
    beside = (folder / name for name in ("site-packages", "libs.zip", "jobs", "jobs.zip"))
    return [str(path) for path in beside if path.exists()]


def add_import_paths(folder):
    """Makes the jobs importable here, and returns what executors lack of that."""
    missing = [path for path in import_paths(folder) if path not in _entries("PYTHONPATH")]
    sys.path[:0] = [path for path in missing if path not in sys.path]
    return missing


def _entries(variable):
    return [entry for entry in os.environ.get(variable, "").split(os.pathsep) if entry]


def key_value(text):
    key, separator, value = text.partition("=")
    if not separator or not key.isidentifier():
        raise argparse.ArgumentTypeError(f"expected key=value, found {text!r}")
    return key, value


def parse(arguments):
    parser = argparse.ArgumentParser(prog="main.py", description="Runs one job on Spark.")
    parser.add_argument("--job", required=True, help="a module of the package `jobs`")
    parser.add_argument(
        "--job-args",
        nargs="*",
        action="extend",
        default=[],
        type=key_value,
        metavar="KEY=VALUE",
        help="arguments of the job",
    )
    parser.add_argument(
        "--output",
        default="output",
        help="where results go: a folder of the driver (the default: %(default)s), "
        "or a URI such as gs://bucket/path that Spark has a connector for",
    )
    parser.add_argument(
        "--bigquery-table",
        metavar="PROJECT.DATASET.TABLE",
        help="also replace this BigQuery table with the results",
    )
    return parser.parse_args(arguments)


def find_job(name):
    """The module of a job; a SystemExit names the jobs that there are."""
    import jobs

    known = sorted(module.name for module in pkgutil.iter_modules(jobs.__path__))
    if name not in known:
        raise SystemExit(f"no job {name!r}: the jobs are {', '.join(known)}")
    return importlib.import_module(f"jobs.{name}")


def check_arguments(name, analyze, arguments):
    """Fails before Spark starts where a job has no such argument."""
    known = list(inspect.signature(analyze).parameters)[1:]
    for key in arguments:
        if key not in known:
            raise SystemExit(f"job {name!r} has no argument {key!r}: it has {', '.join(known) or 'none'}")


def main(arguments=None):
    missing = add_import_paths(Path(__file__).resolve().parent)
    options = parse(arguments)
    job = find_job(options.job)
    job_arguments = dict(options.job_args)
    check_arguments(options.job, job.analyze, job_arguments)

    from shared import context, output

    spark = context.session(options.job, executor_paths=missing)
    try:
        output.check(spark, options.output)
        result = job.analyze(spark, **job_arguments).cache()
        output.show(options.job, result)
        output.write(result, options.output, options.job)
        output.load_bigquery(spark, result, options.bigquery_table)
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
