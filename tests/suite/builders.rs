//! `[builder]`: what is said of it where no `BuildKit` is. Those with a real one are among `tests/more`.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use serde_json::Value;

use crate::support::{Chain, TestProject, free_port, image_id, small};

const ROOT: &str = "registry.example/root:1";

/// The project with its lock; nobody has to be asked for a plan.
fn project(builder: &str) -> TestProject {
    let project = small::project(ROOT, &format!("127.0.0.1:{}", free_port()));
    let digest = format!("sha256:{}", "0".repeat(64));
    let lock = format!(
        "format = 1\n\n[images.\"{ROOT}\"]\ndigest = \"{digest}\"\n\n[images.\"{ROOT}\".platforms]\n\"linux/amd64\" = \"{digest}\"\n\"linux/arm64\" = \"{digest}\"\n"
    );
    project.write("sparkpack.lock", &lock);
    configure(&project, builder);
    project
}

fn configure(project: &TestProject, builder: &str) {
    let text = project.read("sparkpack.toml");
    let text = text.split("\n[builder").next().unwrap();
    project.write("sparkpack.toml", &format!("{text}\n{builder}"));
}

#[test]
fn an_address_that_cannot_be_used_is_one_error_with_its_place() {
    let project = project("");
    let before = project.files();
    for (builder, code, told) in [
        ("[builder]\n", "E022", "`[builder]` has no `address`"),
        (
            "[builder]\nadress = \"tcp://a:1\"\n",
            "E021",
            "did you mean `address`?",
        ),
        ("[builder]\naddress = 1\n", "E022", "32:11"),
        (
            "[builder]\naddress = \"docker.sock\"\n",
            "E118",
            "32:11: `docker.sock` is no address of a BuildKit",
        ),
        (
            "[builder]\naddress = \"unix://socket\"\n",
            "E118",
            "`unix://socket` names no socket",
        ),
        (
            "[builder]\naddress = \"tcp://localhost\"\n",
            "E118",
            "is no host with a port",
        ),
        (
            "[builder]\naddress = \"tcp://localhost:http\"\n",
            "E118",
            "is no host with a port",
        ),
        (
            "[builder]\naddress = \"tcp://ada:pw@localhost:1\"\n",
            "E118",
            "is no host with a port",
        ),
        (
            "[builder]\naddress = \"tcp://builder.example:1234\"\n",
            "E118",
            "would not be encrypted",
        ),
        (
            "[builder]\naddress = \"tcp://10.0.0.7:1234\"\nca = \"ca.pem\"\nkey = \"key.pem\"\n",
            "E118",
            "34:7: `certificate` and `key` belong together",
        ),
        (
            "[builder]\naddress = \"${NOT_SET_HERE}\"\n",
            "E027",
            "`NOT_SET_HERE` is not set",
        ),
        (
            "[builder]\naddress = \"unix:///a\"\ncache = \"Team/Cache\"\n",
            "E025",
            "33:9",
        ),
        (
            "[builder.platforms.\"linux/amd46\"]\naddress = \"unix:///a\"\n",
            "E029",
            "amd46",
        ),
        (
            "[builder.platforms.\"linux/arm64\"]\nca = \"ca.pem\"\n",
            "E02",
            "address",
        ),
    ] {
        configure(&project, builder);
        let failed = project.run(&["plan"]);
        assert_eq!(failed.code, 2, "{builder}\n{}", failed.stderr);
        let line = failed.stderr.lines().next().unwrap();
        let is_told = line.starts_with(&format!("error[{code}")) && failed.stderr.contains(told);
        assert!(
            is_told && failed.stderr.contains("hint: "),
            "{builder}\n{}",
            failed.stderr
        );
    }
    configure(&project, "");
    assert!(
        project
            .files()
            .iter()
            .map(|(path, _)| path)
            .eq(before.iter().map(|(path, _)| path))
    );
}

#[test]
fn who_builds_moves_no_tag_and_is_told_by_the_plan() {
    let project = project("");
    let tags = project.succeed(&["tags"]).stdout;
    configure(
        &project,
        "[builder]\naddress = \"tcp://builder.example:1234\"\ninsecure = true\ncache = \"registry.example/cache\"\n\n\
         [builder.platforms.\"linux/arm64\"]\naddress = \"unix:///nowhere/arm.sock\"\n",
    );
    assert_eq!(project.succeed(&["tags"]).stdout, tags);
    // Nobody is asked.
    let planned = project.succeed(&["plan"]).stdout;
    let told = "a Dockerfile: built by the BuildKit at tcp://builder.example:1234\n";
    assert_eq!(planned.matches(told).count(), 4, "{planned}");
    assert!(!planned.contains("daemon"), "{planned}");

    project.edit(
        "sparkpack.toml",
        "format = 1",
        "format = 1\nplatforms = [\"linux/amd64\", \"linux/arm64\"]",
    );
    let planned = project.succeed(&["plan"]).stdout;
    for told in [
        "linux/amd64: a Dockerfile: built by the BuildKit at tcp://builder.example:1234\n",
        "linux/arm64: a Dockerfile: built by the BuildKit at unix:///nowhere/arm.sock\n",
    ] {
        assert_eq!(planned.matches(told).count(), 4, "{planned}");
    }
    let document = project.succeed(&["plan", "--format", "json"]).stdout;
    let document: Value = serde_json::from_str(&document).unwrap();
    for image in document["images"].as_array().unwrap() {
        assert_eq!(image["builders"]["linux/arm64"], "unix:///nowhere/arm.sock");
        assert_eq!(
            image["builders"]["linux/amd64"],
            "tcp://builder.example:1234"
        );
    }
    // One that is for another platform only.
    configure(
        &project,
        "[builder.platforms.\"linux/arm64\"]\naddress = \"unix:///nowhere/arm.sock\"\n",
    );
    let failed = project.run(&["build", "base"]);
    assert_eq!(failed.code, 2, "{}", failed.stderr);
    assert!(
        failed
            .stderr
            .contains("error[E116]: `[builder]` names no BuildKit for linux/amd64"),
        "{}",
        failed.stderr
    );
}

#[test]
fn a_variable_names_one_or_none() {
    let mut project = project("[builder]\naddress = \"unix:///nowhere/configured.sock\"\n");
    let planned = |project: &TestProject| project.succeed(&["plan"]).stdout;
    assert!(planned(&project).contains("configured.sock"));
    project.set_variable("SPARKPACK_BUILDER", "unix:///nowhere/other.sock");
    assert!(planned(&project).contains("built by the BuildKit at unix:///nowhere/other.sock"));
    configure(&project, "");
    assert!(planned(&project).contains("built by the BuildKit at unix:///nowhere/other.sock"));
    project.set_variable("SPARKPACK_BUILDER", "other.sock");
    let failed = project.run(&["plan"]);
    assert_eq!(failed.code, 2, "{}", failed.stderr);
    let told = "error[E118]: sparkpack.toml:1:1: the variable `SPARKPACK_BUILDER`: `other.sock` is no address of a BuildKit";
    assert!(failed.stderr.contains(told), "{}", failed.stderr);
    configure(
        &project,
        "[builder]\naddress = \"unix:///nowhere/configured.sock\"\n",
    );
    project.set_variable("SPARKPACK_BUILDER", "docker");
    project.set_variable("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let planned = planned(&project);
    assert!(
        planned.contains("daemon not asked") && !planned.contains("BuildKit"),
        "{planned}"
    );
}

#[test]
fn one_that_is_not_there_is_told_with_its_address_before_anything_is_made() {
    let closed = free_port();
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = web.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in web.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let project = project("");
    let tls = "ca = \"nowhere.pem\"\n";
    for (address, more, code, told) in [
        (
            "unix:///nowhere/buildkitd.sock".to_owned(),
            "",
            "E508",
            "there is no such socket",
        ),
        (
            format!("tcp://127.0.0.1:{closed}"),
            "",
            "E508",
            "connection refused",
        ),
        (
            format!("tcp://127.0.0.1:{port}"),
            "",
            "E508",
            "what answers there is not BuildKit's API",
        ),
        (
            format!("tcp://127.0.0.1:{port}"),
            tls,
            "E509",
            "nowhere.pem",
        ),
    ] {
        configure(
            &project,
            &format!("[builder]\naddress = \"{address}\"\n{more}"),
        );
        let failed = project.run(&["build", "base"]);
        assert_eq!(failed.code, 5, "{address}\n{}", failed.stderr);
        let wanted = format!("error[{code}]: cannot reach the BuildKit at `{address}`: ");
        let is_told = failed.stderr.contains(&wanted) && failed.stderr.contains(told);
        assert!(
            is_told && failed.stderr.contains("hint: "),
            "{address}\n{}",
            failed.stderr
        );
        assert!(!failed.stderr.contains("building"), "{}", failed.stderr);
        assert!(!project.root().join("dist/oci/index.json").exists());
    }
}

#[test]
fn offline_asks_none_on_another_machine() {
    let project = project("[builder]\naddress = \"tcp://builder.example:1234\"\ninsecure = true\n");
    let failed = project.run(&["build", "base", "--offline"]);
    assert_eq!(failed.code, 5, "{}", failed.stderr);
    let told = "error[E508]: cannot reach the BuildKit at `tcp://builder.example:1234`: it is asked over the network";
    let is_told = failed.stderr.contains(told) && failed.stderr.contains("leave out `--offline`");
    assert!(is_told, "{}", failed.stderr);

    let told = project.run(&["doctor", "--offline"]).stdout;
    let line = told.lines().find(|line| line.contains("builder ")).unwrap();
    assert!(
        line.ends_with("tcp://builder.example:1234: --offline asks nobody"),
        "{told}"
    );
}

#[test]
fn an_image_of_a_daemon_is_no_parent_for_one() {
    let project = project("[builder]\naddress = \"unix:///nowhere/buildkitd.sock\"\n");
    project.write("sparkpack.lock", &small::lock(ROOT));
    let failed = project.run(&["build", "base"]);
    assert_eq!(failed.code, 6, "{}", failed.stderr);
    for told in [
        "error[E606]: `registry.example/root:1`: the lock wants the image ID 000000000000, which only a Docker daemon can have",
        "push it to a registry",
    ] {
        assert!(failed.stderr.contains(told), "{}", failed.stderr);
    }
}

#[test]
fn a_daemon_builds_what_is_to_go_there() {
    let chain = Chain::new("builders-daemon");
    configure(
        &chain.project,
        "[builder]\naddress = \"unix:///nowhere/buildkitd.sock\"\n",
    );
    let built = chain
        .project
        .succeed(&["build", "base", "--output", "daemon"]);
    assert!(built.stderr.contains("base: built"), "{}", built.stderr);
    assert!(image_id(&chain.project.reference("base")).is_some());
}
