//! The command line of `spark-submit` and the environment that run an application outside of Kubernetes.

use std::collections::BTreeMap;

use crate::{error::RunError, yaml::SparkApplication};

/// Properties that mean something in a cluster alone, by the beginnings of their names.
const OF_A_CLUSTER: &[&str] = &[
    "spark.kubernetes.",
    "spark.master",
    "spark.submit.deployMode",
    "spark.driver.host",
    "spark.driver.port",
    "spark.driver.bindAddress",
    "spark.driver.blockManager.port",
    "spark.blockManager.port",
    "spark.driver.cores",
    "spark.driver.memoryOverhead",
    "spark.driver.resource.",
    "spark.executor.instances",
    "spark.executor.cores",
    "spark.executor.memory",
    "spark.executor.memoryOverhead",
    "spark.executor.memoryOverheadFactor",
    "spark.driver.memoryOverheadFactor",
    "spark.executor.resource.",
    "spark.executor.podNamePrefix",
    "spark.task.resource.",
    "spark.dynamicAllocation.",
    "spark.shuffle.service.",
    "spark.eventLog.",
    "spark.history.",
    "spark.metrics.",
    "spark.ui.prometheus.",
    "spark.ui.reverseProxy",
    "spark.ui.reverseProxyUrl",
    "spark.app.id",
    "spark.authenticate",
    "spark.network.crypto.",
    "spark.io.encryption.",
];

/// Properties that hold a variable of the environment, by the beginnings of their names.
const ENVIRONMENT: [&str; 2] = ["spark.kubernetes.driverEnv.", "spark.executorEnv."];

/// What may be given besides the application.
pub(super) struct Given<'a> {
    /// The master.
    pub(super) master: &'a str,
    /// Arguments of the program that replace the application's.
    pub(super) arguments: &'a [String],
    /// Properties, `KEY=VALUE`, which win.
    pub(super) properties: &'a [String],
    /// Variables, `NAME=VALUE`, which win.
    pub(super) environment: &'a [(String, String)],
}

/// How an application is run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Submission {
    /// Options of `spark-submit`.
    pub(super) options: Vec<String>,
    /// The file that it runs.
    pub(super) main: Option<String>,
    /// The arguments of the program.
    pub(super) arguments: Vec<String>,
    /// The environment.
    pub(super) environment: BTreeMap<String, String>,
    /// Properties that were left out.
    pub(super) left_out: Vec<String>,
    /// Variables whose value something else has.
    pub(super) without_value: Vec<String>,
}

impl Submission {
    /// How to run an application, or without one a main file.
    ///
    /// # Errors
    /// Its arguments are filled in by somebody else.
    pub(super) fn new(
        (title, application): (&str, Option<&SparkApplication>),
        main: Option<&str>,
        given: &Given<'_>,
    ) -> Result<Self, RunError> {
        let nothing = SparkApplication::default();
        let application = application.unwrap_or(&nothing);
        if given.arguments.is_empty() {
            let placeholders: Vec<String> = application.placeholders().map(str::to_owned).collect();
            if !placeholders.is_empty() {
                return Err(RunError::Placeholders {
                    name: title.to_owned(),
                    placeholders,
                });
            }
        }
        let mut submission = Self {
            main: main.map(str::to_owned).or(application.main_file.clone()),
            arguments: if given.arguments.is_empty() {
                application.arguments.clone()
            } else {
                given.arguments.to_vec()
            },
            ..Self::default()
        };
        let mut properties = submission.properties(application);
        if given.master.starts_with("local") {
            // It needs no name of the machine, which not every network knows.
            let own = [
                ("spark.driver.bindAddress", "127.0.0.1"),
                ("spark.driver.host", "localhost"),
            ];
            properties.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
        }
        for property in given.properties {
            let (key, value) = property.split_once('=').unwrap_or((property, ""));
            properties.insert(key.to_owned(), value.to_owned());
        }
        submission.environment(application, given);
        submission.options(title, application, given.master, &properties);
        Ok(submission)
    }

    /// The application's properties that count here.
    fn properties(&mut self, application: &SparkApplication) -> BTreeMap<String, String> {
        let mut kept = BTreeMap::new();
        for (key, value) in &application.properties {
            if let Some(name) = ENVIRONMENT.iter().find_map(|head| key.strip_prefix(head)) {
                let name = name.to_owned();
                self.environment.entry(name).or_insert(value.clone());
            } else if OF_A_CLUSTER.iter().any(|head| is_below(key, head)) {
                self.left_out.push(key.clone());
            } else {
                kept.insert(key.clone(), value.clone());
            }
        }
        let of_executors = application.properties.get("spark.executor.memory");
        let driver = kept.get("spark.driver.memory");
        let memory = application.memory.iter().chain(of_executors).chain(driver);
        // One process does the work of all.
        let largest = memory.max_by_key(|text| bytes(text)).cloned();
        kept.extend(largest.map(|memory| ("spark.driver.memory".to_owned(), memory)));
        kept
    }

    fn environment(&mut self, application: &SparkApplication, given: &Given<'_>) {
        let mut own = BTreeMap::new();
        for (name, value) in &application.environment {
            match value {
                Some(value) => drop(own.entry(name.clone()).or_insert(value.clone())),
                None => self.without_value.push(name.clone()),
            }
        }
        self.environment.append(&mut own);
        let given = given.environment.iter().cloned();
        self.environment.extend(given);
        let known = &self.environment;
        self.without_value.retain(|name| !known.contains_key(name));
        self.without_value.sort();
        self.without_value.dedup();
    }

    fn options(
        &mut self,
        title: &str,
        application: &SparkApplication,
        master: &str,
        properties: &BTreeMap<String, String>,
    ) {
        let mut options = vec!["--master".to_owned(), master.to_owned()];
        if !properties.contains_key("spark.app.name") {
            options.extend(["--name".to_owned(), title.to_owned()]);
        }
        for (key, value) in properties {
            options.extend(["--conf".to_owned(), format!("{key}={value}")]);
        }
        if let Some(class) = &application.main_class {
            options.extend(["--class".to_owned(), class.clone()]);
        }
        for (option, values) in &application.lists {
            options.extend([(*option).to_owned(), values.join(",")]);
        }
        self.options = options;
    }

    /// All that follows `spark-submit` on a command line.
    pub(super) fn command(&self) -> Vec<String> {
        let options = self.options.iter().chain(&self.main);
        options.chain(&self.arguments).cloned().collect()
    }
}

/// Whether a key is the one, or below the one that ends with a dot.
fn is_below(key: &str, head: &str) -> bool {
    key == head || head.ends_with('.') && key.starts_with(head) || {
        // `spark.authenticate.secret`, `spark.master.rest.enabled`.
        let rest = key.strip_prefix(head);
        rest.is_some_and(|rest| rest.starts_with('.'))
    }
}

/// The bytes of a size as Spark and Kubernetes write it: `512m`, `2Gi`.
fn bytes(text: &str) -> u64 {
    let digits = text
        .trim()
        .trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = text.trim()[digits.len()..].to_ascii_lowercase();
    let shift = match unit.chars().next() {
        Some('t') => 40,
        Some('g') => 30,
        Some('k') => 10,
        // Of a size of memory without a unit, Spark thinks that it is in MiB.
        Some('m') | None => 20,
        Some(_) => 0,
    };
    digits.parse().unwrap_or(0_u64).saturating_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Given<'static> {
        Given {
            master: "local[*]",
            arguments: &[],
            properties: &[],
            environment: &[],
        }
    }

    fn text(text: &str) -> String {
        text.to_owned()
    }

    fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs.map(|(key, value)| (text(key), text(value))).collect()
    }

    /// An application with something of all kinds.
    fn application() -> SparkApplication {
        SparkApplication {
            main_file: Some(text("local:///opt/job/main.py")),
            arguments: vec![text("--year"), text("2008")],
            properties: properties(&[
                ("spark.sql.shuffle.partitions", "8"),
                ("spark.kubernetes.namespace", "jobs"),
                ("spark.kubernetes.driverEnv.A", "a"),
                ("spark.executorEnv.B", "b"),
                ("spark.dynamicAllocation.enabled", "true"),
                ("spark.authenticate.secret", "x"),
                ("spark.masterful", "kept"),
                ("spark.executor.memory", "3g"),
                ("spark.executor.heartbeatInterval", "5s"),
            ]),
            memory: vec![text("512m"), text("2Gi")],
            environment: vec![
                (text("C"), Some(text("driver"))),
                (text("C"), Some(text("executor"))),
                (text("TOKEN"), None),
                (text("KEY"), None),
            ],
            lists: BTreeMap::from([("--jars", vec![text("a.jar"), text("b.jar")])]),
            ..SparkApplication::default()
        }
    }

    #[test]
    fn what_makes_sense_outside_of_a_cluster_is_kept_and_the_rest_is_named() {
        let environment = [(text("KEY"), text("mine"))];
        let given = Given {
            properties: &[text("spark.sql.shuffle.partitions=1")],
            environment: &environment,
            ..given()
        };
        let found = Submission::new(("nightly", Some(&application())), None, &given).unwrap();
        assert_eq!(
            found.command().join(" "),
            "--master local[*] --name nightly --conf spark.driver.bindAddress=127.0.0.1 --conf \
             spark.driver.host=localhost --conf spark.driver.memory=3g --conf \
             spark.executor.heartbeatInterval=5s --conf spark.masterful=kept --conf \
             spark.sql.shuffle.partitions=1 --jars a.jar,b.jar local:///opt/job/main.py --year 2008"
        );
        assert_eq!(
            found.environment,
            properties(&[("A", "a"), ("B", "b"), ("C", "driver"), ("KEY", "mine")])
        );
        assert_eq!(
            found.left_out.join(" "),
            "spark.authenticate.secret spark.dynamicAllocation.enabled spark.executor.memory \
             spark.kubernetes.namespace"
        );
        assert_eq!(found.without_value, ["TOKEN"]);
    }

    #[test]
    fn arguments_replace_those_of_the_application_and_its_placeholders() {
        let application = SparkApplication {
            arguments: vec![text("--day"), text("${DAY}")],
            ..SparkApplication::default()
        };
        let refused = Submission::new(("daily", Some(&application)), None, &given());
        let shown = refused.unwrap_err().to_string();
        assert_eq!(
            shown,
            "the arguments of `daily` are filled in by something else: `${DAY}`"
        );
        let arguments = [text("--day"), text("2026-11-30")];
        let given = Given {
            arguments: &arguments,
            ..given()
        };
        let found = Submission::new(("daily", Some(&application)), Some("main.py"), &given);
        let command = found.unwrap().command();
        assert_eq!(
            command[command.len() - 3..],
            ["main.py", "--day", "2026-11-30"]
        );
    }

    #[test]
    fn sizes_are_compared_by_their_units() {
        let mut sizes = ["1500m", "1g", "900", "2Gi", "2097153k"];
        sizes.sort_by_key(|size| bytes(size));
        assert_eq!(sizes, ["900", "1g", "1500m", "2Gi", "2097153k"]);
    }
}
