import json
import zipfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared import modules, output, penguins


def test_the_data_set_is_whole():
    rows = penguins.rows()
    assert len(rows) == len(penguins.labels()) == 344
    assert Counter(row[0] for row in rows) == {"Adelie": 152, "Gentoo": 124, "Chinstrap": 68}
    assert Counter(row[1] for row in rows) == {"Biscoe": 168, "Dream": 124, "Torgersen": 52}
    assert sum(row[5] is None for row in rows) == 2


def test_values_have_types_and_missing_ones_are_none():
    rows = penguins.rows()
    assert rows[0] == ("Adelie", "Torgersen", 39.1, 18.7, 181, 3750, "male", 2007)
    assert rows[3] == ("Adelie", "Torgersen", None, None, None, None, None, 2007)


def test_the_cleaned_table_and_the_field_books_are_of_the_same_birds():
    assert [row[0] for row in penguins.rows()] == [label.split()[0] for label in penguins.labels()]


def test_the_data_can_be_read_out_of_a_zip(tmp_path):
    import subprocess
    import sys

    source = Path(penguins.__file__).parent.parent
    with zipfile.ZipFile(tmp_path / "jobs.zip", "w") as archive:
        for file in sorted(source.rglob("*")):
            if file.suffix in (".py", ".csv") and file.name != "main.py":
                archive.write(file, file.relative_to(source))
    code = "from shared import penguins; print(len(penguins.rows()), penguins.__file__)"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path / "jobs.zip")},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert printed.split() == ["344", str(tmp_path / "jobs.zip" / "shared" / "penguins.py")]


def test_a_result_is_a_line_of_json():
    (line,) = output.lines("islands", [{"island": "Île", "mean": None}])
    assert json.loads(line.removeprefix("RESULT ")) == {"job": "islands", "island": "Île", "mean": None}


@pytest.mark.parametrize(
    ("target", "folder"),
    [
        ("output", Path("output")),
        ("/var/data", Path("/var/data")),
        ("file:///var/my%20data", Path("/var/my data")),
        ("C:\\data", Path("C:\\data")),
        ("gs://bucket/path", None),
        ("s3a://bucket/path", None),
    ],
)
def test_a_target_is_a_folder_or_a_uri(target, folder):
    assert output.local_folder(target) == folder


def test_a_local_result_is_one_csv_file(tmp_path):
    output.write_csv(tmp_path / "new" / "islands.csv", ["island", "mean"], [("Dream", 1.5), ("a,b", None)])
    assert (tmp_path / "new" / "islands.csv").read_text() == 'island,mean\nDream,1.5\n"a,b",\n'


def test_without_a_table_nothing_is_loaded(capsys):
    output.load_bigquery(spark=None, result=None, table=None)
    assert capsys.readouterr().out == "BigQuery load skipped: no table configured\n"


def test_without_a_connector_nothing_is_loaded(spark, capsys):
    output.load_bigquery(spark, result=None, table="project.data.islands")
    printed = capsys.readouterr().out
    assert printed.startswith("BigQuery load skipped: project.data.islands is configured, but")
    assert printed.count("\n") == 1


def test_with_a_connector_the_table_is_replaced(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(output, "_has_source", lambda spark, name: name == "bigquery")

    class Writer:
        def __getattr__(self, name):
            return lambda *arguments: calls.append((name, *arguments)) or self

    output.load_bigquery(None, SimpleNamespace(write=Writer()), "project.data.islands")
    assert calls == [
        ("format", "bigquery"),
        ("option", "writeMethod", "direct"),
        ("mode", "overwrite"),
        ("save", "project.data.islands"),
    ]
    assert capsys.readouterr().out == "loaded project.data.islands\n"


def test_what_a_connector_says_is_told_in_a_line(monkeypatch):
    Py4JJavaError = pytest.importorskip("py4j.protocol").Py4JJavaError

    def java(message, cause):
        return SimpleNamespace(getMessage=lambda: message, getCause=lambda: cause, _target_id="o1")

    class Fails:
        def __getattr__(self, name):
            return lambda *arguments: self

        def save(self, table):
            raise Py4JJavaError("", java("see below", java("no project\nis set", None)))

    monkeypatch.setattr(output, "_has_source", lambda spark, name: True)
    with pytest.raises(SystemExit, match="^cannot load project.data.islands: no project\n.*GOOGLE_APPLICATION_CREDENTIALS"):
        output.load_bigquery(None, SimpleNamespace(write=Fails()), "project.data.islands")


def test_a_uri_without_a_connector_is_refused_before_the_work(spark):
    output.check(spark, "output")
    with pytest.raises(SystemExit, match="cannot write to gs://bucket/x: this image has no connector for gs://"):
        output.check(spark, "gs://bucket/x")


def test_a_module_says_where_it_comes_from():
    (name, version, path, native), (_, _, _, numpy_is_native) = modules.describe(["shared", "numpy"])
    assert (name, version, native, numpy_is_native) == ("shared", "", False, True)
    assert path.endswith("shared/__init__.py")


def test_another_version_on_an_executor_fails():
    driver = [("driver", "numpy", "1.26.4", "/a", True)]
    modules.check_same(driver, [("executor", "numpy", "1.26.4", "/b", True)])
    with pytest.raises(RuntimeError, match=r"numpy is 2.0.0 on an executor \(/b\) and 1.26.4 on the driver"):
        modules.check_same(driver, [("executor", "numpy", "2.0.0", "/b", True)])
