//! Files that a SparkApplication names in its image (`local://…`) and that are not there: a warning with what is there, and
//! none where that is not known.

use crate::support::{TestProject, small};

const ROOT: &str = "registry.example/root:1";
const KUBEFLOW: &str = "sparkoperator.k8s.io/v1beta2";

fn project(dockerfile: &str) -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project.write("docker/job/Dockerfile", dockerfile);
    project.write("conf/log.properties", "");
    project.write("conf/deep/a.conf", "");
    fs_err::remove_dir_all(project.root().join("kubernetes")).unwrap();
    project
}

const DOCKERFILE: &str =
    "ARG PARENT\nFROM ${PARENT}\nCOPY dist/ /opt/job/\nCOPY conf /opt/job/conf\n";

/// The warnings about a manifest: line, column and hint of each.
fn warnings(project: &TestProject, manifest: &str) -> Vec<String> {
    let pod = "---\napiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, image: 'IMAGE'}]}\n";
    let manifest = format!("{manifest}{pod}").replace("IMAGE", &project.reference("job"));
    project.write("kubernetes/app.yml", &manifest);
    let run = project.run(&["check"]);
    assert!(run.code <= 1, "{}", run.stderr);
    let lines: Vec<&str> = run.stderr.lines().collect();
    let told = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with("warning[W132]"));
    let told = told.map(|(index, line)| {
        let place = line.split(": ").nth(1).unwrap();
        let place = place.strip_prefix("kubernetes/app.yml:").unwrap();
        let hint = lines[index..]
            .iter()
            .find(|line| line.contains("hint: "))
            .unwrap();
        format!("{place} {}", hint.trim().trim_start_matches("hint: "))
    });
    told.collect()
}

fn kubeflow(fields: &str) -> String {
    format!(
        "apiVersion: {KUBEFLOW}\nkind: SparkApplication\nmetadata: {{name: a}}\nspec:\n  image: IMAGE\n{fields}"
    )
}

fn main_file(path: &str) -> String {
    kubeflow(&format!("  mainApplicationFile: {path}\n"))
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let project = project(DOCKERFILE);
    for (path, near) in [
        ("local:///opt/job/jobs/etl_job.py", "main.py"),
        ("local:///opt/job/jobs/main.py", "main.py"),
        ("local:///opt/job/mian.py", "main.py"),
        ("local:///opt/job/src/main.py", "main.py"),
        ("local:///opt/job/job.zip", "jobs.zip"),
        ("local:///opt/job/log.properties", "conf/log.properties"),
        ("local:///opt/job/conf/b.conf", "conf/deep/a.conf"),
        ("\"local:/opt/job//main.p\"", "main.py"),
    ] {
        let wanted = format!("6:24 it has `local:///opt/job/{near}`");
        assert_eq!(warnings(&project, &main_file(path)), [wanted], "{path}");
    }
}

#[test]
fn what_is_there_or_is_not_known_is_not_told() {
    let with = |line: &str| project(&format!("{DOCKERFILE}{line}\n"));
    let plain = project(DOCKERFILE);
    for path in [
        "local:///opt/job/main.py",
        "local:///opt/job/jobs.zip",
        "local:///opt/job/libs.zip",
        "local:///opt/job/conf",
        "local:///opt/job/conf/deep/a.conf#here",
        "local:///opt/job/site-packages/x/__init__.py",
        "local:///opt/spark/examples/pi.py",
        "local:///srv/main.py",
        "local:///opt/job/*.py",
        "'{{ .Values.main }}'",
        "'local:///opt/job/{{ .Values.main }}'",
        "s3a://bucket/opt/job/none.py",
        "null",
    ] {
        let told = warnings(&plain, &main_file(path));
        assert!(told.is_empty(), "{path}: {told:?}");
    }
    for line in [
        "RUN unzip /opt/job/jobs.zip",
        "RUN cd /opt && mv job/main.py job/none.py",
        "WORKDIR /opt/job\nRUN make",
        "COPY --from=ds /opt/ds /opt/job/",
        "COPY --from=ds / /",
        "ADD conf/deep/a.conf /opt/job/",
        "COPY --chmod=0644 $X /opt/job/",
        "COPY <<EOF /opt/job/none.py\nEOF",
    ] {
        let told = warnings(&with(line), &main_file("local:///opt/job/none.py"));
        assert!(told.is_empty(), "{line}: {told:?}");
    }
    let mounted = "  mainApplicationFile: local:///opt/job/extra/none.py\n  driver:\n    volumeMounts:\n    - {name: x, mountPath: /opt/job/extra}\n";
    assert!(warnings(&plain, &kubeflow(mounted)).is_empty());
    // Somebody else's image.
    let other = main_file("local:///opt/job/none.py").replace("IMAGE", "other.example/x:1");
    assert!(warnings(&plain, &other).is_empty());
    let other = kubeflow(
        "  mainApplicationFile: local:///opt/job/none.py\n  driver: {image: 'other.example/x:1'}\n",
    );
    assert!(warnings(&plain, &other).is_empty());
}

/// A single file under another name, a wildcard, and what the image below has put there.
#[test]
fn copies_are_followed_as_a_builder_does_them() {
    let renamed = "ARG PARENT\nFROM ${PARENT}\nWORKDIR /opt/job\nCOPY dist/main.py start.py\nCOPY conf/* other/\n";
    let project = project(renamed);
    let ds = project.read("docker/ds/Dockerfile");
    project.write(
        "docker/ds/Dockerfile",
        &format!("{ds}COPY docker/ds/ds.txt /opt/job/\n"),
    );
    for (path, near) in [
        ("start.py", None),
        ("other/log.properties", None),
        ("other/a.conf", None),
        ("ds.txt", None),
        ("main.py", Some("start.py")),
        ("other/deep/a.conf", Some("other/a.conf")),
        ("dd.txt", Some("ds.txt")),
    ] {
        let told = warnings(&project, &main_file(&format!("local:///opt/job/{path}")));
        let near = near.map(|near| format!("6:24 it has `local:///opt/job/{near}`"));
        assert_eq!(told, Vec::from_iter(near), "{path}");
    }
}

#[test]
fn every_place_of_every_operator_is_read() {
    let project = project(DOCKERFILE);
    let lines = |manifest: &str| {
        let told = warnings(&project, manifest);
        let lines = told
            .iter()
            .map(|told| told.split(':').next().unwrap().to_owned());
        lines.collect::<Vec<_>>()
    };
    let deps = "  deps:\n    jars: [local:///opt/job/a.jar]\n    files:\n    - local:///opt/job/b\n    pyFiles:\n    - local:///opt/job/jobs.zip\n    - local:///opt/job/c.zip\n    archives: [local:///opt/job/d.tgz#x]\n";
    assert_eq!(lines(&kubeflow(deps)), ["7", "9", "12", "13"]);
    let scheduled = format!(
        "apiVersion: {KUBEFLOW}\nkind: ScheduledSparkApplication\nmetadata: {{name: a}}\nspec:\n  template:\n    image: IMAGE\n    mainApplicationFile: local:///opt/job/none.py\n    deps: {{pyFiles: [local:///opt/job/none.zip]}}\n"
    );
    assert_eq!(lines(&scheduled), ["7", "8"]);
    let apache = "apiVersion: spark.apache.org/v1\nkind: SparkApplication\nmetadata: {name: a}\nspec:\n  pyFiles: local:///opt/job/main.py,local:///opt/job/none.zip\n  jars: local:///opt/job/none.jar\n  files: 's3a://a/b, local:///opt/job/none.txt'\n  sparkConf:\n    spark.kubernetes.container.image: IMAGE\n";
    assert_eq!(lines(apache), ["5", "6", "7"]);
    let stackable = "apiVersion: spark.stackable.tech/v1alpha1\nkind: SparkApplication\nmetadata: {name: a}\nspec:\n  sparkImage: {custom: IMAGE, productVersion: 4.1.4}\n  mainApplicationFile: local:///opt/job/none.py\n";
    assert_eq!(lines(stackable), ["6"]);
}

/// The built-in recipe of a job, whose files nobody wrote down.
#[test]
fn the_built_in_recipe_is_known() {
    let project = project(DOCKERFILE);
    project.edit(
        "sparkpack.toml",
        "dockerfile = \"docker/job/Dockerfile\"\n",
        "",
    );
    let told = warnings(&project, &main_file("local:///opt/job/jobs/etl_job.py"));
    assert_eq!(told, ["6:24 it has `local:///opt/job/main.py`"]);
    assert!(warnings(&project, &main_file("local:///opt/job/main.py")).is_empty());
}

/// Where the package is the context, its files have no `dist/` before them.
#[test]
fn the_package_as_a_context_is_known_by_its_files() {
    let project = project("ARG PARENT\nFROM ${PARENT}\nCOPY main.py jobs.zip /opt/job/\n");
    project.edit(
        "sparkpack.toml",
        "src = \"src\"",
        "src = \"src\"\ncontext = \"dist\"",
    );
    let there = main_file("local:///opt/job/main.py");
    assert_eq!(warnings(&project, &there), [""; 0]);
    let wanted = "6:24 it has `local:///opt/job/main.py`";
    assert_eq!(
        warnings(&project, &main_file("local:///opt/job/mian.py")),
        [wanted]
    );
}
