//! crane, which reads images as registries' and Kubernetes' own tools do, validates what was pushed.

use std::process::Command;

use crate::support::{Chain, run};

const CRANE: &str = "github.com/google/go-containerregistry/cmd/crane@v0.22.1";

#[test]
fn crane_finds_nothing_wrong_with_what_was_pushed() {
    let chain = Chain::with_registry("crane").with_job_of_files();
    let project = &chain.project;
    project.succeed(&["push"]);
    let credentials = project.home().join(".docker");
    for image in ["base", "ds", "side", "job"] {
        let reference = project.reference(image);
        let mut command = Command::new("go");
        command.args([
            "run",
            CRANE,
            "validate",
            "--insecure",
            "--remote",
            &reference,
        ]);
        let validated = run(command.env("DOCKER_CONFIG", &credentials));
        assert_eq!(validated.code, 0, "{image}: {}", validated.stderr);
        assert!(
            validated.stdout.starts_with("PASS: "),
            "{}",
            validated.stdout
        );
    }
}
