//! New projects of every kind, and the shell steps of their CI files.

use std::collections::BTreeMap;

use serde_json::Value;

/// The projects: each value of a flag of `new` with each of another.
pub(crate) const PROJECTS: [(&str, &[&str]); 6] = [
    ("orders-a", &[]),
    (
        "orders-b",
        &["--with-operator", "--ci", "gitlab", "--layout", "package"],
    ),
    ("orders-c", &["--operator", "apache", "--layout", "package"]),
    ("orders-d", &["--operator", "apache", "--ci", "gitlab"]),
    ("orders-e", &["--operator", "stackable", "--ci", "gitlab"]),
    (
        "orders-f",
        &["--operator", "stackable", "--layout", "package"],
    ),
];

/// The CI file of a project that was made with these flags.
pub(crate) fn ci_file(flags: &[&str]) -> &'static str {
    if flags.contains(&"gitlab") {
        GITLAB
    } else {
        GITHUB
    }
}

pub(crate) const GITHUB: &str = ".github/workflows/images.yml";
pub(crate) const GITLAB: &str = ".gitlab-ci.yml";

/// What a runner executes in one shell.
#[derive(Debug)]
pub(crate) struct ShellStep {
    pub(crate) script: String,
    pub(crate) variables: BTreeMap<String, String>,
}

/// The shell steps of each job of a GitHub workflow. A step that uses an action is none.
pub(crate) fn github_jobs(text: &str) -> BTreeMap<String, Vec<ShellStep>> {
    let workflow: Value = serde_saphyr::from_str(text).unwrap();
    let steps = |job: &Value| -> Vec<ShellStep> {
        let steps = job["steps"].as_array().unwrap().iter();
        let scripts = steps.filter_map(|step| {
            let script = step.get("run")?.as_str().unwrap().to_owned();
            Some(ShellStep {
                script,
                variables: variables(step.get("env")),
            })
        });
        scripts.collect()
    };
    let jobs = workflow["jobs"].as_object().unwrap();
    jobs.iter()
        .map(|(name, job)| (name.clone(), steps(job)))
        .collect()
}

/// The only shell of each job of a GitLab pipeline, which executes the lines before the script too.
pub(crate) fn gitlab_jobs(text: &str) -> BTreeMap<String, ShellStep> {
    let pipeline: Value = serde_saphyr::from_str(text).unwrap();
    let of_all = variables(pipeline.get("variables"));
    let entries = pipeline.as_object().unwrap().iter();
    let jobs = entries.filter(|(_, entry)| entry.get("script").is_some());
    jobs.map(|(name, job)| {
        let parts = ["before_script", "script"].into_iter();
        let lines = parts.flat_map(|part| job[part].as_array().unwrap());
        let lines: Vec<&str> = lines.map(|line| line.as_str().unwrap()).collect();
        let mut variables = variables(job.get("variables"));
        for (name, value) in &of_all {
            variables
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
        let step = ShellStep {
            script: lines.join("\n") + "\n",
            variables,
        };
        (name.clone(), step)
    })
    .collect()
}

fn variables(table: Option<&Value>) -> BTreeMap<String, String> {
    let table = table.and_then(Value::as_object).into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    table
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}
