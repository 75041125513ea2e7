"""Where results go: stdout, a folder or a bucket, and BigQuery."""

import csv
import json
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit


def lines(job, rows):
    """One line a row that a person can read and a program can parse."""
    return [f"RESULT {json.dumps({'job': job, **row}, ensure_ascii=False)}" for row in rows]


def show(job, result):
    """Prints the result."""
    for line in lines(job, [row.asDict() for row in result.collect()]):
        print(line, flush=True)


def local_folder(target):
    """The folder that a target names, or None where it is a URI of another system."""
    scheme = urlsplit(target).scheme
    # One letter is a drive, not a scheme.
    if len(scheme) <= 1:
        return Path(target)
    return Path(unquote(urlsplit(target).path)) if scheme == "file" else None


def check(spark, target):
    """Fails before the work is done where Spark cannot write to the target."""
    if local_folder(target) is not None:
        return
    scheme = urlsplit(target).scheme
    if not _has_file_system(spark, scheme):
        raise SystemExit(
            f"cannot write to {target}: this image has no connector for {scheme}://. "
            "Add its jar to the base image (jars.base in sparkpack.toml), or choose a local folder"
        )


def write(result, target, job):
    """Writes CSV: one file `<folder>/<job>.csv`, or the directory `<uri>/<job>/`.

    The driver writes local files itself. Were they left to Spark, each executor would
    write its part into its own pod, where it is lost with the pod.
    """
    folder = local_folder(target)
    if folder is None:
        destination = f"{target.rstrip('/')}/{job}"
        with _told_in_a_line(f"write to {destination}"):
            result.coalesce(1).write.mode("overwrite").option("header", True).csv(destination)
    else:
        destination = folder / f"{job}.csv"
        write_csv(destination, result.columns, result.collect())
    print(f"wrote {destination}", flush=True)


def write_csv(path, columns, rows):
    """Writes rows under a header; a missing value is an empty field."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def load_bigquery(spark, result, table):
    """Replaces a BigQuery table with the result, or says in one line why not."""
    if not table:
        print("BigQuery load skipped: no table configured", flush=True)
        return
    if not _has_source(spark, "bigquery"):
        print(
            f"BigQuery load skipped: {table} is configured, but this image has no BigQuery connector "
            "(add its jar to jars.base in sparkpack.toml)",
            flush=True,
        )
        return
    with _told_in_a_line(f"load {table}"):
        # The direct method needs no bucket for temporary files.
        result.write.format("bigquery").option("writeMethod", "direct").mode("overwrite").save(table)
    print(f"loaded {table}", flush=True)


@contextmanager
def _told_in_a_line(what):
    """Ends the job with what a connector says, in place of its long stack."""
    from py4j.protocol import Py4JJavaError

    try:
        yield
    except Py4JJavaError as error:
        raise SystemExit(
            f"cannot {what}: {_innermost(error.java_exception)}\n"
            "Google's connectors take the credentials of the file that GOOGLE_APPLICATION_CREDENTIALS names, "
            "or of the machine"
        ) from None


def _innermost(exception):
    """The first line of what the innermost cause says."""
    while exception.getCause() is not None:
        exception = exception.getCause()
    return str(exception.getMessage() or exception.getClass().getName()).splitlines()[0].strip()


def _has_file_system(spark, scheme):
    jvm = spark.sparkContext._jvm
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    return _is_found(lambda: jvm.org.apache.hadoop.fs.FileSystem.getFileSystemClass(scheme, configuration))


def _has_source(spark, name):
    # Asking Spark for the format, not for a class: the connector's classes have other
    # names in each of its builds.
    source = spark.sparkContext._jvm.org.apache.spark.sql.execution.datasources.DataSource
    configuration = spark._jsparkSession.sessionState().conf()
    return _is_found(lambda: source.lookupDataSource(name, configuration))


def _is_found(look_up):
    from py4j.protocol import Py4JJavaError

    try:
        look_up()
    except Py4JJavaError as error:
        if _says_not_found(error.java_exception):
            return False
        raise
    return True


def _says_not_found(exception):
    while exception is not None:
        name = exception.getClass().getName()
        if name.endswith(("ClassNotFoundException", "UnsupportedFileSystemException")):
            return True
        exception = exception.getCause()
    return False
