import sys

import pytest

import main


def test_job_arguments_become_a_dictionary():
    options = main.parse(["--job", "islands", "--job-args", "year=2008", "note=a=b", "--output", "x"])
    assert (options.job, dict(options.job_args), options.output) == ("islands", {"year": "2008", "note": "a=b"}, "x")


def test_without_options_results_go_to_a_local_folder_and_to_no_table():
    options = main.parse(["--job", "islands"])
    assert (options.job_args, options.output, options.bigquery_table) == ([], "output", None)


@pytest.mark.parametrize("argument", ["year", "=2008", "a b=1"])
def test_an_argument_that_is_no_pair_is_refused(argument, capsys):
    with pytest.raises(SystemExit) as exit_:
        main.parse(["--job", "islands", "--job-args", argument])
    assert exit_.value.code == 2
    assert f"expected key=value, found {argument!r}" in capsys.readouterr().err


def test_an_unknown_job_names_the_jobs_that_there_are():
    with pytest.raises(SystemExit, match="no job 'island': the jobs are .*islands"):
        main.find_job("island")


def test_a_job_is_not_a_path():
    with pytest.raises(SystemExit, match="no job"):
        main.find_job("..shared.output")


def test_an_unknown_argument_of_a_job_names_those_that_there_are():
    def analyze(spark, year=None):
        pass

    main.check_arguments("islands", analyze, {"year": "2008"})
    with pytest.raises(SystemExit, match="job 'islands' has no argument 'yeer': it has year"):
        main.check_arguments("islands", analyze, {"yeer": "2008"})


def test_a_checkout_imports_from_its_folder(tmp_path):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").touch()
    (tmp_path / "libs.zip").touch()
    assert main.import_paths(tmp_path) == [str(tmp_path)]


def test_a_package_imports_what_lies_beside_main(tmp_path):
    (tmp_path / "jobs.zip").touch()
    (tmp_path / "jobs" / "jobs").mkdir(parents=True)
    (tmp_path / "site-packages").mkdir()
    beside = ("site-packages", "jobs", "jobs.zip")
    assert main.import_paths(tmp_path) == [str(tmp_path / name) for name in beside]


def test_the_image_has_its_paths_already(tmp_path, monkeypatch):
    (tmp_path / "jobs.zip").touch()
    (tmp_path / "libs.zip").touch()
    monkeypatch.setattr(sys, "path", ["first"])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "jobs.zip"))
    assert main.add_import_paths(tmp_path) == [str(tmp_path / "libs.zip")]
    assert sys.path == [str(tmp_path / "libs.zip"), "first"]
