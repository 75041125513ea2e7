//! Bytecode that an image below has compiled never runs in the place of a source that an image above has changed, by
//! every Python from 3.9 on that the machine has.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    Behind, Chain, PASSWORD, Registry, StandIn, UPSTREAM, USER, count, program, pythons, run, small,
};

/// Two modules of one length.
const SOURCES: [&str; 2] = ["VALUE = 'old'\n", "VALUE = 'new'\n"];

/// Compiles the module at `before`, puts that at `after` in its place, and returns what a Python then imports.
fn imported(python: &str, [before, after]: [&Path; 2]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let name = before.file_stem().unwrap().to_str().unwrap();
    let [before, after] = [before, after].map(|file| file.to_str().unwrap());
    let script = "set -eu\ncp -p \"$2\" \"$4/\"\n\"$1\" -m compileall -q \"$4\"\ntest -d \"$4/__pycache__\"\ncp -p \"$3\" \"$4/\"";
    program("sh", &["-c", script, "sh", python, before, after, path]);
    let code = format!("import {name}; print({name}.VALUE)");
    let mut command = Command::new(python);
    let told = run(command.args(["-S", "-c", &code]).env("PYTHONPATH", path));
    assert_eq!(told.code, 0, "{}", told.stderr);
    told.stdout.trim().to_owned()
}

/// Tries the two files of two images by every Python; `how` says who made the images.
fn check(how: &str, files: &[PathBuf; 2]) {
    for (file, source) in files.iter().zip(SOURCES) {
        assert_eq!(fs_err::read_to_string(file).unwrap(), source);
    }
    let [before, after] = [&*files[0], &*files[1]];
    let mut pythons = pythons();
    pythons.retain(|(_, version)| *version >= (3, 9));
    let (mut tried, mut failures) = (0, Vec::new());
    for (python, (major, minor)) in pythons {
        let version = format!("{major}.{minor}");
        tried += 1;
        if imported(&python, [before, after]) != "new" {
            failures.push(format!("Python {version} runs the old bytecode"));
        }
        // With one time for both it does, so that the case above could fail.
        let same = tempfile::tempdir().unwrap();
        let copies = [("a", before), ("b", after)].map(|(folder, file)| {
            let copy = same.path().join(folder).join(file.file_name().unwrap());
            fs_err::create_dir(copy.parent().unwrap()).unwrap();
            fs_err::copy(file, &copy).unwrap();
            program("touch", &["-d", "@0", copy.to_str().unwrap()]);
            copy
        });
        let stale = imported(&python, [&*copies[0], &*copies[1]]);
        assert_eq!(stale, "old", "Python {version} looks at more than the time");
    }
    let what = format!("changed sources above bytecode, {how}, each by a Python");
    count("P32", &what, tried, &failures);
}

#[test]
fn a_changed_source_that_was_put_into_a_layer_runs() {
    let registry = Registry::with_password(USER, PASSWORD);
    StandIn::new().push(&format!("{}/{UPSTREAM}", registry.host()));
    let made = Behind::job(&registry);
    let project = &made.project;
    project.write("src/jobs/data.json", "{}\n");
    let unpacked = tempfile::tempdir().unwrap();
    let files = [0, 1].map(|number| {
        project.write("src/jobs/value.py", SOURCES[number]);
        project.succeed(&["build"]);
        let bundle = unpacked.path().join(number.to_string());
        let layout = project.root().join("dist/oci");
        let image = format!("{}:{}", layout.display(), project.reference("job"));
        let bundle_path = bundle.to_str().unwrap();
        program(
            "umoci",
            &["unpack", "--rootless", "--image", &image, bundle_path],
        );
        bundle.join("rootfs/opt/job/jobs/jobs/value.py")
    });
    check("put together", &files);
}

#[test]
fn a_changed_source_that_a_dockerfile_copies_runs() {
    let chain = Chain::new("bytecode-daemon");
    let project = &chain.project;
    project.edit(
        "docker/base/Dockerfile",
        "COPY docker/base/base.txt /opt/\n",
        "COPY docker/base/value.py /opt/\n",
    );
    project.edit(
        "docker/ds/Dockerfile",
        "COPY docker/ds/*.txt /opt/ds/\n",
        "COPY docker/ds/value.py /opt/\n",
    );
    project.write("docker/base/value.py", SOURCES[0]);
    project.write("docker/ds/value.py", SOURCES[1]);
    for builder in ["1", "0"] {
        chain.forget_images();
        let mut build = project.command(&["build", "ds"]);
        let built = run(build.env("DOCKER_BUILDKIT", builder));
        assert_eq!(built.code, 0, "{}", built.stderr);
        let folder = tempfile::tempdir().unwrap();
        let files = ["base", "ds"].map(|image| {
            let into = folder.path().join(image);
            fs_err::create_dir(&into).unwrap();
            let script = "set -eu\ncontainer=$(docker create \"$1\" none)\ndocker export \"$container\" | tar -x -C \"$2\" opt/value.py\n\
                          docker rm \"$container\" >/dev/null";
            let reference = project.reference(image);
            let path = into.to_str().unwrap();
            program("sh", &["-c", script, "sh", &reference, path]);
            into.join("opt/value.py")
        });
        check(&format!("built with DOCKER_BUILDKIT={builder}"), &files);
    }
}

#[test]
fn bytecode_that_is_never_compared_is_told() {
    let project = small::project("registry.example/root:1", "registry.example");
    project.write("sparkpack.lock", &small::lock("registry.example/root:1"));
    let with = |line: &str| {
        let text = project.read("docker/ds/Dockerfile");
        project.write("docker/ds/Dockerfile", &format!("{text}{line}\n"));
        let told = project.succeed(&["plan"]).stderr;
        project.write("docker/ds/Dockerfile", &text);
        told
    };
    let told = with("RUN python3 -m compileall --invalidation-mode unchecked-hash /opt");
    assert!(
        told.contains("warning[W129]: docker/ds/Dockerfile:"),
        "{told}"
    );
    for line in [
        "RUN python3 -m compileall /opt",
        "RUN python3 -m compileall --invalidation-mode checked-hash /opt",
        "# unchecked-hash",
    ] {
        let told = with(line);
        assert!(!told.contains("W129"), "{line}: {told}");
    }
}
