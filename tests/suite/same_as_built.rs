//! A job image that was put together is the one that the daemon builds from `dockerfiles/job/Dockerfile` with the same
//! files, in all that can be seen of it; likewise `ds`.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{Index, Root, TestProject, docker, host_python, program, remove_images, run};

/// What a container tells of itself and of its files. The host name is docker's choice.
const TELL: &str = r"
id -u; id -g; pwd; cat /proc/1/cmdline | tr '\0' ' '; echo
env | grep -v ^HOSTNAME= | sort
find /opt -exec stat -c '%A %u:%g %n' {} \; | sort -k 3
find /opt -type f -exec sha256sum {} \; | sort -k 2
for folder in job spark/jars spark/work-dir; do touch /opt/$folder/new 2>&1 && echo wrote $folder; done; true
";

const BASE: &str = r#"ARG ROOT
FROM ${ROOT}
COPY docker/base.txt /opt/
ENV SPARK_HOME=/opt/spark PYTHONPATH=/opt/ds/site-packages:/opt/spark/python ODD="a $HOME \"b\" 'c' ü="
WORKDIR /opt/spark/jars
WORKDIR /opt/spark/work-dir
EXPOSE 4040
LABEL of="the base"
STOPSIGNAL SIGINT
USER 185
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["id"]
"#;

/// What a case is called, and what it changes.
type Change<'a> = (&'a str, Box<dyn Fn() + 'a>);

struct Fixture {
    project: TestProject,
    host: String,
    _root: Root,
}

impl Fixture {
    fn new(name: &str) -> Self {
        let index = Index::new();
        index.add("spk_app-1.0-py3-none-any", &[]);
        index.add("spk_lib-1.0-py3-none-any", &[]);
        let tag = host_python().replace('.', "");
        let stem = format!("spk_nat-1.0-cp{tag}-cp{tag}-manylinux2014_x86_64");
        index.add(&stem, &[]);
        let root = Root::with_shell(name, name);
        let host = format!("{name}.example");
        let configuration = format!(
            r#"format = 1
project = "same"
registries.main = "{host}/same"

[mirrors]
python = "{}"

[chains.main]
spark = "4.1.4"
python = "{}"
root = "{}"
jars.ds = ["extra"]

[sources.extra]
path = "jars/extra.jar"

[images.base]
dockerfile = "docker/Dockerfile"

[images.ds]
parent = "base"
requirements = "docker/requirements.txt"

[images.job]
parent = "ds"
src = "src"
requirements = "requirements.txt"
"#,
            index.url,
            host_python(),
            root.name,
        );
        let project = TestProject::new(&[
            ("sparkpack.toml", &configuration),
            ("docker/Dockerfile", BASE),
            ("docker/base.txt", "base\n"),
            ("docker/requirements.txt", "spk-app\n"),
            ("jars/extra.jar", "no real jar\n"),
            ("src/main.py", "print('main')\n"),
            ("src/jobs/__init__.py", ""),
            ("requirements.txt", ""),
        ]);
        Self {
            project,
            host,
            _root: root,
        }
    }

    /// Builds `image` by a Dockerfile, and puts everything back.
    fn by_dockerfile(&self, image: &str, dockerfile: &str, builder: &str) -> String {
        let configuration = self.project.read("sparkpack.toml");
        let table = format!("[images.{image}]\n");
        let key = format!("{table}dockerfile = \"written.Dockerfile\"\n");
        self.project.write("written.Dockerfile", dockerfile);
        self.project.edit("sparkpack.toml", &table, &key);
        let mut command = self.project.command(&["build", image]);
        let built = run(command.env("DOCKER_BUILDKIT", builder));
        assert_eq!(built.code, 0, "{}", built.stderr);
        let reference = self.project.reference(image);
        self.project.write("sparkpack.toml", &configuration);
        reference
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        remove_images(&format!("{}/", self.host));
    }
}

/// What is told by a container of a user; the folder that a `COPY` makes although nothing is in it is left out.
fn told(reference: &str, user: &[&str]) -> String {
    let told = docker(
        &[
            &["run", "--rm", "--network", "none"],
            user,
            &[reference, TELL],
        ]
        .concat(),
    );
    let lines = told.lines().filter(|line| {
        let is_empty_folder = line.starts_with('d') && line.ends_with(" /opt/job/site-packages");
        !is_empty_folder || told.contains(" /opt/job/site-packages/")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What containers are started with, without what tells how the image was made.
fn config(reference: &str) -> Value {
    let all: Value = serde_json::from_str(&docker(&["inspect", reference])).unwrap();
    let mut config = all[0]["Config"].clone();
    let fields = config.as_object_mut().unwrap();
    for of_the_build in ["Image", "Hostname", "Labels"] {
        fields.remove(of_the_build);
    }
    // The builders write an absent list in two ways.
    fields.retain(|_, value| !value.is_null() && *value != serde_json::json!({}));
    let env = config["Env"].as_array_mut().unwrap();
    env.sort_by_key(Value::to_string);
    config
}

fn same(assembled: &str, built: &str, what: &str) {
    assert_ne!(assembled, built);
    assert_eq!(config(assembled), config(built), "{what}");
    // Its own user, and one that is in no file of the image, as OpenShift takes them.
    for user in [&[][..], &["--user", "123456:0"]] {
        let told = told(assembled, user);
        assert!(told.contains(" /opt/spark/work-dir\n"), "{told}");
        assert_eq!(told, self::told(built, user), "{what} as {user:?}");
    }
}

#[test]
fn a_job_image_is_what_the_daemon_would_build() {
    let fixture = Fixture::new("same-job");
    let project = &fixture.project;
    let mode = |path: &str, mode: u32| {
        let permissions = std::fs::Permissions::from_mode(mode);
        fs_err::set_permissions(project.root().join(path), permissions).unwrap();
    };
    let cases: [Change<'_>; 11] = [
        ("a job without requirements", Box::new(|| {})),
        (
            "a pure library",
            Box::new(|| project.write("requirements.txt", "spk-lib\n")),
        ),
        (
            "a native library",
            Box::new(|| project.write("requirements.txt", "spk-lib\nspk-nat\n")),
        ),
        (
            "native libraries only",
            Box::new(|| project.write("requirements.txt", "spk-nat\n")),
        ),
        (
            "a module in a package in a package",
            Box::new(|| {
                project.write("src/jobs/deep/__init__.py", "");
                project.write("src/jobs/deep/down/__init__.py", "");
                project.write("src/jobs/deep/down/job.py", "VALUE = 2\n");
            }),
        ),
        (
            "a file that is no module, and odd names",
            Box::new(|| project.write("src/jobs/a ü'$(x).sql", "select 1\n")),
        ),
        (
            "data files in packages, and a file at the top that would make a package of the code",
            Box::new(|| {
                project.write("src/__init__.py", "");
                project.write("src/jobs/deep/down/table.csv", "a,b\n");
                project.write("src/jobs/run.sh", "#!/bin/sh\n");
                mode("src/jobs/run.sh", 0o755);
            }),
        ),
        (
            "code without data again, and a main file that only its owner reads",
            Box::new(|| {
                let data = [
                    "jobs/a ü'$(x).sql",
                    "jobs/deep/down/table.csv",
                    "jobs/run.sh",
                ];
                for path in data.into_iter().chain(["__init__.py"]) {
                    fs_err::remove_file(project.root().join("src").join(path)).unwrap();
                }
                project.write("src/main.py", "print('private')\n");
                mode("src/main.py", 0o600);
            }),
        ),
        (
            "a program that everybody may write",
            Box::new(|| {
                project.write("src/main.py", "print('program')\n");
                mode("src/main.py", 0o777);
            }),
        ),
        (
            "a large main file",
            Box::new(|| project.write("src/main.py", &"print('main')\n".repeat(300_000))),
        ),
        (
            "an empty main file",
            Box::new(|| project.write("src/main.py", "")),
        ),
    ];
    let alone = include_str!("../../dockerfiles/job/Dockerfile");
    // As the comment in it says.
    let with_folder = alone
        .replace(
            "COPY dist/jobs.zip",
            "COPY dist/jobs/ /opt/job/jobs/\nCOPY dist/jobs.zip",
        )
        .replace("/opt/job/jobs.zip$", "/opt/job/jobs:/opt/job/jobs.zip$");
    for (number, (what, change)) in cases.iter().enumerate() {
        change();
        let has_folder = project.root().join("src/jobs/a ü'$(x).sql").exists();
        let dockerfile = if has_folder { &with_folder } else { alone };
        let assembled = project.succeed(&["build"]);
        let loads = assembled.stderr.contains("job: loading it into the daemon");
        assert!(loads, "{what}: {}", assembled.stderr);
        let reference = project.reference("job");
        // Both builders, in turn.
        let builder = ["0", "1"][number % 2];
        let built = fixture.by_dockerfile("job", dockerfile, builder);
        same(&reference, &built, what);
    }
}

/// What `eject` writes and prints, pasted as it says, makes the images that were put together before.
#[test]
fn what_is_written_out_makes_the_same() {
    let fixture = Fixture::new("same-ejected");
    let project = &fixture.project;
    project.write("requirements.txt", "spk-lib\nspk-nat\n");
    project.write("src/jobs/query.sql", "select 1\n");
    project.write("src/conf/dev one.json", "{}\n");
    project.write("src/run.py", "print('run')\n");
    project.edit(
        "sparkpack.toml",
        "src = \"src\"\n",
        "src = \"src\"\nmain = [\"main.py\", \"run.py\"]\nfiles = [\"conf/*.json\"]\n",
    );
    project.succeed(&["build"]);
    let before = ["ds", "job"].map(|image| project.reference(image));
    for image in ["ds", "job"] {
        let ejected = project.succeed(&["eject", image]);
        let table = format!("[images.{image}]\n");
        project.edit(
            "sparkpack.toml",
            &table,
            &format!("{table}{}", ejected.stdout),
        );
    }
    for builder in ["0", "1"] {
        let built = run(project.command(&["build"]).env("DOCKER_BUILDKIT", builder));
        assert_eq!(built.code, 0, "{}", built.stderr);
        for (image, before) in ["ds", "job"].iter().zip(&before) {
            let written = project.reference(image);
            same(before, &written, image);
        }
        for image in ["job", "ds"] {
            let written = project.reference(image);
            docker(&["rmi", "--force", "--no-prune", &written]);
        }
    }
}

#[test]
fn ds_is_what_the_daemon_would_build() {
    let fixture = Fixture::new("same-ds");
    fixture.project.succeed(&["build", "ds"]);
    let reference = fixture.project.reference("ds");
    let dockerfile = include_str!("../../dockerfiles/ds/Dockerfile");
    for builder in ["0", "1"] {
        let built = fixture.by_dockerfile("ds", dockerfile, builder);
        same(&reference, &built, "ds");
        docker(&["rmi", "--force", "--no-prune", &built]);
    }
    let there = program(
        "docker",
        &[
            "run",
            "--rm",
            "--network",
            "none",
            &reference,
            "cat /opt/spark/jars/extra.jar",
        ],
    );
    assert_eq!(there, "no real jar\n");
}
