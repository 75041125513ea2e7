//! What is sent of sources, and what is told of a `COPY` that finds nothing in them.

use super::*;
use crate::adapters::builder::BuildError;

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

/// Runs `work` on a project with the source `tree`, a folder, from which `job` takes its context.
fn with_source<T>(dockerfile: &str, work: impl FnOnce(&BuildRun<'_>) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    let write = |name: &str, text: &str| write(&root, name, text);
    let tables = "context = \"source:tree\"\n\n[sources.tree]\npath = \"../tree\"\n";
    write("sparkpack.toml", &format!("{CONFIGURATION}{tables}"));
    write("base.Dockerfile", "FROM scratch\nCOPY text /text\n");
    write("job.Dockerfile", dockerfile);
    write("text", "text\n");
    for path in ["bin/tool", "bin/other", "lib/deep/a.so", "README"] {
        write(&format!("../tree/{path}"), path);
    }
    work_in(&root, work)
}

#[test]
fn of_a_source_only_what_the_dockerfile_can_copy_is_sent() {
    for (copy, wanted) in [
        ("COPY bin/tool /usr/bin/", &["bin/tool"][..]),
        ("COPY lib bin/o* /x/", &["bin/other", "lib/deep/a.so"]),
        ("RUN --mount=source=README,target=/r true", &["README"]),
        (
            "COPY . /x/",
            &["README", "bin/other", "bin/tool", "lib/deep/a.so"],
        ),
        ("LABEL a=b", &[]),
    ] {
        with_source(&format!("FROM base\n{copy}\n"), |run| {
            let builder = RecordingBuilder::new(&run.daemon);
            run.make(&builder).unwrap();
            let requests = builder.requests();
            let job = requests.last().unwrap();
            let paths = job.entries.iter().map(|entry| entry.path.as_str());
            let paths = paths.filter(|path| *path != job.dockerfile);
            let mut paths: Vec<&str> = paths
                .map(|path| path.trim_start_matches(".sparkpack.context/"))
                .collect();
            paths.sort_unstable();
            assert_eq!(paths.len(), wanted.len(), "{copy}: {paths:?}");
            let ends = paths
                .iter()
                .zip(wanted)
                .all(|(path, wanted)| path.ends_with(wanted));
            assert!(ends, "{copy}: {paths:?}");
        });
    }
}

/// The triggers of a parent copy files that the Dockerfile does not name.
#[test]
fn of_a_source_everything_is_sent_where_a_parent_has_triggers() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    let write = |name: &str, text: &str| write(&root, name, text);
    let tables = "context = \"source:tree\"\n\n[sources.tree]\npath = \"../tree\"\n";
    write("sparkpack.toml", &format!("{CONFIGURATION}{tables}"));
    write(
        "base.Dockerfile",
        "FROM scratch\nCOPY text /text\nONBUILD COPY lib /lib\n",
    );
    write("job.Dockerfile", "FROM base\nCOPY bin/tool /x\n");
    write("text", "text\n");
    // The parent's own context has to have what its triggers name.
    write("lib/own", "");
    for path in ["bin/tool", "lib/deep/a.so"] {
        write(&format!("../tree/{path}"), path);
    }
    work_in(&root, |run| {
        let builder = RecordingBuilder::new(&run.daemon);
        run.make(&builder).unwrap();
        let requests = builder.requests();
        let job = requests.last().unwrap();
        let is_sent = |path: &str| job.entries.iter().any(|entry| entry.path.ends_with(path));
        assert!(is_sent("bin/tool") && is_sent("lib/deep/a.so"), "{job:?}");
    });
}

#[test]
fn what_a_source_lacks_is_told_with_what_it_has() {
    for (copy, hint) in [
        ("COPY bin/tol /x", "it has `bin/tool`"),
        ("COPY tool /x", "it has `bin/tool`"),
        (
            "COPY quite/another/name /x",
            "it has `README`, `bin/other`, `bin/tool`, `lib/deep/a.so`",
        ),
    ] {
        with_source(&format!("FROM base\n{copy}\n"), |run| {
            let error = run.make(&RecordingBuilder::new(&run.daemon)).unwrap_err();
            assert_eq!(error.code(), "E096");
            let text = error.to_string();
            let is_told =
                text.starts_with("job.Dockerfile:2:1: ") && text.ends_with("in the source `tree`");
            assert!(is_told, "{text}");
            assert_eq!(error.hint().as_deref(), Some(hint), "{copy}");
        });
    }
}

#[test]
fn a_manifest_that_a_copy_names_is_called_one() {
    for (copy, is_manifest) in [
        ("COPY k8s/app.yaml /x/", true),
        ("COPY k8s/*.yaml /x/", true),
        ("COPY k8s /x/", true),
        ("COPY k8s/none.json /x/", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).unwrap();
        fs_err::create_dir(folder.path().join("k8s")).unwrap();
        let manifests = "\n[manifests]\nmain = [\"k8s/*.yaml\"]\n";
        write("sparkpack.toml", &format!("{CONFIGURATION}{manifests}"));
        write("base.Dockerfile", "FROM scratch\nCOPY text /text\n");
        write("job.Dockerfile", &format!("FROM base\n{copy}\n"));
        write("text", "text\n");
        write("k8s/app.yaml", "kind: ConfigMap\n");
        work_in(folder.path(), |run| {
            let error = run.make(&RecordingBuilder::new(&run.daemon)).unwrap_err();
            assert_eq!(error.code(), "E096");
            let text = error.to_string();
            assert_eq!(
                text.contains("`k8s/app.yaml` is a manifest"),
                is_manifest,
                "{text}"
            );
        });
    }
}

/// The rule that leaves a file out is named with its line: a builder only says that there is no such file.
#[test]
fn what_a_rule_leaves_out_is_told_with_the_rule() {
    for (ignore, copy, wanted) in [
        (
            "# x\ndata\n",
            "data/a.csv",
            "left out by .dockerignore:2: data",
        ),
        (
            "*.csv\ndata/*.csv\n",
            "data/a.csv",
            "left out by .dockerignore:2: data/*.csv",
        ),
        ("*\n!text\n", "data", "left out by .dockerignore:1: *"),
        ("", "data/__pycache__", "left out by built-in"),
        (
            "data\n!data/a.csv\n",
            "data/b.csv",
            "left out by .dockerignore:1: data",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).unwrap();
        fs_err::create_dir_all(folder.path().join("data/__pycache__")).unwrap();
        write("sparkpack.toml", CONFIGURATION);
        write("base.Dockerfile", "FROM scratch\nCOPY text /text\n");
        write("job.Dockerfile", &format!("FROM base\nCOPY {copy} /x/\n"));
        for file in ["text", "data/a.csv", "data/b.csv", "data/__pycache__/a.pyc"] {
            write(file, "text\n");
        }
        write(".dockerignore", ignore);
        work_in(folder.path(), |run| {
            let error = run.make(&RecordingBuilder::new(&run.daemon)).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("job.Dockerfile:2:1: "), "{text}");
            assert!(text.contains(wanted), "{copy}: {text}");
        });
    }
}

#[test]
fn a_heredoc_is_refused_by_a_builder_that_knows_none() {
    with_job("FROM base\nCOPY <<EOF /x\ntext\nEOF\n", |run| {
        let error = run
            .make(&RecordingBuilder::classic(&run.daemon))
            .unwrap_err();
        assert_eq!(error.code(), "E095");
        assert!(error.to_string().contains("job.Dockerfile:2"), "{error}");
    });
}

/// Runs `work` on a project with an operator from the file `operator-2.5` or the folder `tree`.
fn with_operator<T>(operator: &str, work: impl FnOnce(&BuildRun<'_>) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    let write = |name: &str, text: &str| write(&root, name, text);
    let configuration = format!(
        "format = 1\nproject = \"small\"\nregistries.main = \"reg.example/team\"\n\n[chains.main]\nspark = \"4.1.4\"\n\
         python = \"3.11\"\n\n[chains.main.operator]\n{operator}\n\n[sources.file]\npath = \"../operator-2.5\"\n\n\
         [sources.tree]\npath = \"../tree\"\n\n[images.base]\ndockerfile = \"base.Dockerfile\"\n"
    );
    write("sparkpack.toml", &configuration);
    write("base.Dockerfile", "FROM scratch\nCOPY text /text\n");
    write("text", "text\n");
    write("../operator-2.5", "binary");
    write("../tree/bin/spark-operator", "binary");
    work_in(&root, work)
}

#[test]
fn an_operator_of_a_single_file_is_found_by_its_name() {
    for (operator, wanted) in [
        ("source = \"file\"", "/operator-2.5"),
        ("source = \"file\"\npath = \"/elsewhere\"", "/elsewhere"),
        ("source = \"tree\"", "/usr/bin/spark-operator"),
    ] {
        with_operator(operator, |run| {
            let stage = run.prepared.plan.stages["operator"].first();
            let crate::plan::Recipe::Dockerfile(inputs) = &stage.inputs.recipe else {
                panic!("it has a Dockerfile")
            };
            assert_eq!(
                inputs.build_arguments["OPERATOR_PATH"], wanted,
                "{operator}"
            );
        });
    }
}

#[test]
fn a_wrong_path_of_the_operator_is_told_by_its_key_with_what_is_there() {
    for (operator, line, hint) in [
        (
            "source = \"file\"\npath = \"/elsewhere\"",
            11,
            "it has `operator-2.5`",
        ),
        ("source = \"tree\"", 9, "it has `bin/spark-operator`"),
    ] {
        with_operator(operator, |run| {
            let error = run.make(&RecordingBuilder::new(&run.daemon)).unwrap_err();
            assert_eq!(error.code(), "E096");
            let text = error.to_string();
            let place = format!("sparkpack.toml:{line}:");
            let is_told = text.starts_with(&place) && text.contains("`operator.path` is `/");
            assert!(is_told, "{text}");
            assert_eq!(error.hint().as_deref(), Some(hint));
        });
    }
}

/// The files of an image are not known before the builder has tried, and its message is about a Dockerfile that is not
/// the user's.
#[test]
fn a_path_that_the_operators_image_lacks_is_told_by_its_key() {
    let chain = crate::project::Operator {
        origin: crate::project::OperatorOrigin::Image("ghcr.io/a/b:1".to_owned()),
        path: Some("/usr/bin/operator".to_owned()),
        place: crate::project::place::Place::of_line("sparkpack.toml", 11),
    };
    let failed = |message: &str| BuildError::Failed {
        instruction: None,
        step: None,
        last_lines: Vec::new(),
        message: message.to_owned(),
        hint: None,
    };
    for (message, is_told) in [
        (
            "failed to compute cache key: \"/usr/bin/operator\" not found: not found",
            true,
        ),
        (
            "COPY failed: stat usr/bin/operator: file does not exist",
            true,
        ),
        ("no space left on device", false),
        ("\"/text\" not found", false),
    ] {
        let defect = crate::operations::build::failure::of_operator_path(&chain, &failed(message));
        assert_eq!(defect.is_some(), is_told, "{message}");
    }
}
