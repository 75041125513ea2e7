//! What the objects of Spark operators run, and with which settings.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{local_paths::files_of, places::Step, scalar::holds_expression};

/// How deep objects may lie in lists, and in texts that are YAML themselves.
const DEPTH_LIMIT: usize = 8;

/// A Spark application, as an object of an operator describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparkApplication {
    /// `metadata.name`; empty if it has none, as with `generateName`.
    pub name: String,
    /// The images that its driver may have; the first one counts.
    pub images: Vec<String>,
    /// The file that `spark-submit` runs.
    pub main_file: Option<String>,
    /// The class that `spark-submit` runs.
    pub main_class: Option<String>,
    /// The arguments of the program.
    pub arguments: Vec<String>,
    /// Spark's properties; those of Hadoop begin with `spark.hadoop.`.
    pub properties: BTreeMap<String, String>,
    /// What the memory of the driver and of the executors is said to be.
    pub memory: Vec<String>,
    /// The environment of the driver, then that of the executors. Without a value where something else has it, a secret
    /// for example.
    pub environment: Vec<(String, Option<String>)>,
    /// Options of `spark-submit` that list files or packages, by their names: `--jars`.
    pub lists: BTreeMap<&'static str, Vec<String>>,
}

impl SparkApplication {
    /// The arguments that are filled in before the object is applied.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        let all = self.arguments.iter().map(String::as_str);
        all.filter(|argument| holds_expression(argument))
    }
}

/// The Spark applications in a text, in its order; `None` if it is not YAML.
#[must_use]
pub fn applications(text: &str) -> Option<Vec<SparkApplication>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).ok()?;
    let mut found = Vec::new();
    for document in &documents {
        find(document, 0, &mut found);
    }
    Some(found)
}

/// Adds the applications in a value, also those in lists and in texts.
fn find(value: &Value, depth: usize, found: &mut Vec<SparkApplication>) {
    if depth > DEPTH_LIMIT {
        return;
    }
    match value {
        Value::Object(object) => match of_object(object) {
            Some(application) => found.push(application),
            None => object
                .values()
                .for_each(|value| find(value, depth + 1, found)),
        },
        Value::Array(items) => items.iter().for_each(|item| find(item, depth + 1, found)),
        Value::String(text) if text.contains("SparkApplication") && text.contains('\n') => {
            let documents: Result<Vec<Value>, _> = serde_saphyr::from_multiple(text);
            let documents = documents.unwrap_or_default();
            for document in &documents {
                find(document, depth + 1, found);
            }
        }
        _ => {}
    }
}

fn of_object(object: &Map<String, Value>) -> Option<SparkApplication> {
    let group = object.get("apiVersion")?.as_str()?.split('/').next()?;
    let (spec, _) = files_of(group, object.get("kind")?.as_str()?)?;
    let mut at = object;
    for step in spec {
        let Step::Key(key) = step else {
            return None;
        };
        at = at.get(*key)?.as_object()?;
    }
    let spec = Spec(at);
    let application = match group {
        "sparkoperator.k8s.io" => kubeflow(spec),
        "spark.apache.org" => apache(spec),
        _ => stackable(spec),
    };
    let metadata = object.get("metadata").and_then(Value::as_object);
    Some(SparkApplication {
        name: metadata
            .and_then(|metadata| text(metadata.get("name")?))
            .unwrap_or_default(),
        ..application
    })
}

fn kubeflow(spec: Spec<'_>) -> SparkApplication {
    let (driver, executor) = (spec.below("driver"), spec.below("executor"));
    let mut properties = spec.properties();
    let hadoop = spec.below("hadoopConf").pairs();
    properties.extend(hadoop.map(|(key, value)| (format!("spark.hadoop.{key}"), value)));
    if let Some(options) = driver.text("javaOptions") {
        properties
            .entry("spark.driver.extraJavaOptions".to_owned())
            .or_insert(options);
    }
    let deps = spec.below("deps");
    let lists = [
        ("--jars", "jars"),
        ("--files", "files"),
        ("--py-files", "pyFiles"),
        ("--archives", "archives"),
        ("--packages", "packages"),
        ("--exclude-packages", "excludePackages"),
        ("--repositories", "repositories"),
    ];
    let named = [driver.text("image"), property(&properties, "driver.")];
    let named = named.into_iter().chain([spec.text("image")]);
    SparkApplication {
        images: named.chain([property(&properties, "")]).flatten().collect(),
        main_file: spec.text("mainApplicationFile"),
        main_class: spec.text("mainClass"),
        arguments: spec.texts("arguments"),
        memory: [driver, executor]
            .iter()
            .filter_map(|role| role.text("memory"))
            .collect(),
        environment: [driver, executor]
            .iter()
            .flat_map(|role| role.environment())
            .collect(),
        lists: lists
            .into_iter()
            .map(|(option, key)| (option, deps.texts(key)))
            .filter(|(_, values)| !values.is_empty())
            .collect(),
        properties,
        ..SparkApplication::default()
    }
}

fn apache(spec: Spec<'_>) -> SparkApplication {
    let properties = spec.properties();
    let split = |key: &str| -> Vec<String> {
        let text = spec.text(key).unwrap_or_default();
        let parts = text.split(',').map(str::trim);
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut jars = split("jars");
    let mut python = split("pyFiles");
    // The first one of those that are there is the program.
    let mains = if jars.is_empty() {
        &mut python
    } else {
        &mut jars
    };
    let main_file = (!mains.is_empty()).then(|| mains.remove(0));
    let lists = [
        ("--jars", jars),
        ("--py-files", python),
        ("--files", split("files")),
    ];
    let roles = ["driverSpec", "executorSpec"];
    let containers = roles.map(|role| {
        let pod = spec.below(role).below("podTemplateSpec").below("spec");
        pod.items("containers")
    });
    SparkApplication {
        images: [property(&properties, "driver."), property(&properties, "")]
            .into_iter()
            .flatten()
            .collect(),
        main_file,
        // What the operator itself says for Python.
        main_class: spec
            .text("mainClass")
            .filter(|class| !class.ends_with(".PythonRunner")),
        arguments: spec.texts("driverArgs"),
        environment: containers
            .iter()
            .flatten()
            .flat_map(|role| role.environment())
            .collect(),
        lists: lists
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .collect(),
        properties,
        ..SparkApplication::default()
    }
}

fn stackable(spec: Spec<'_>) -> SparkApplication {
    let packages = spec.below("deps").texts("packages");
    let images = [
        spec.below("sparkImage").text("custom"),
        spec.text("sparkImage"),
        spec.text("image"),
    ];
    SparkApplication {
        images: images.into_iter().flatten().collect(),
        main_file: spec.text("mainApplicationFile"),
        main_class: spec.text("mainClass"),
        arguments: spec.texts("args"),
        properties: spec.properties(),
        environment: spec.environment().collect(),
        lists: [("--packages", packages)]
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .collect(),
        ..SparkApplication::default()
    }
}

/// An image in Spark's properties.
fn property(properties: &BTreeMap<String, String>, role: &str) -> Option<String> {
    let key = format!("spark.kubernetes.{role}container.image");
    properties.get(&key).cloned()
}

/// A mapping, or nothing.
#[derive(Clone, Copy)]
struct Spec<'v>(&'v Map<String, Value>);

/// What is looked into where a key is not there.
static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

impl<'v> Spec<'v> {
    fn below(self, key: &str) -> Self {
        Self(self.0.get(key).and_then(Value::as_object).unwrap_or(&EMPTY))
    }

    fn text(self, key: &str) -> Option<String> {
        text(self.0.get(key)?)
    }

    fn texts(self, key: &str) -> Vec<String> {
        let items = self.0.get(key).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(text).collect()
    }

    fn items(self, key: &str) -> Vec<Self> {
        let items = self.0.get(key).and_then(Value::as_array);
        let objects = items.into_iter().flatten().filter_map(Value::as_object);
        objects.map(Self).collect()
    }

    fn pairs(self) -> impl Iterator<Item = (String, String)> + use<'v> {
        let entries = self.0.iter();
        entries.filter_map(|(key, value)| Some((key.clone(), text(value)?)))
    }

    fn properties(self) -> BTreeMap<String, String> {
        self.below("sparkConf").pairs().collect()
    }

    fn environment(self) -> impl Iterator<Item = (String, Option<String>)> + use<'v> {
        let listed = self.items("env").into_iter();
        let listed = listed.filter_map(|item| Some((item.text("name")?, item.text("value"))));
        let older = self.below("envVars").pairs();
        let older = older.map(|(name, value)| (name, Some(value)));
        let secret = self.below("envSecretKeyRefs").0.keys();
        let secret = secret.map(|name| (name.clone(), None));
        listed.chain(older).chain(secret)
    }
}

/// A scalar as Kubernetes and Spark read it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> SparkApplication {
        let mut all = applications(text).unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    #[test]
    fn all_that_kubeflows_objects_say_is_read() {
        let application = one("
apiVersion: sparkoperator.k8s.io/v1beta2
kind: ScheduledSparkApplication
metadata: {name: nightly, namespace: jobs}
spec:
  schedule: '@daily'
  template:
    image: registry.example/job:1
    mainApplicationFile: local:///opt/job/main.py
    arguments: [--year, 2008, --full, true]
    sparkConf: {spark.sql.shuffle.partitions: 8, spark.ui.enabled: false}
    hadoopConf: {fs.s3a.endpoint: http://s3}
    deps: {jars: [local:///opt/a.jar, https://b.example/b.jar], packages: ['a:b:1']}
    driver:
      memory: 512m
      env: [{name: A, value: a}, {name: TOKEN, valueFrom: {secretKeyRef: {name: s, key: k}}}]
      envVars: {B: 2}
      javaOptions: -Xss4m
    executor: {memory: 2g, envSecretKeyRefs: {KEY: {name: s, key: k}}}
");
        assert_eq!(application.name, "nightly");
        assert_eq!(application.images, ["registry.example/job:1"]);
        assert_eq!(
            application.main_file.as_deref(),
            Some("local:///opt/job/main.py")
        );
        assert_eq!(application.arguments, ["--year", "2008", "--full", "true"]);
        let properties: Vec<String> = application
            .properties
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(
            properties,
            [
                "spark.driver.extraJavaOptions=-Xss4m",
                "spark.hadoop.fs.s3a.endpoint=http://s3",
                "spark.sql.shuffle.partitions=8",
                "spark.ui.enabled=false"
            ]
        );
        assert_eq!(application.memory, ["512m", "2g"]);
        let value = |value: &str| Some(value.to_owned());
        assert_eq!(
            application.environment,
            [
                ("A".to_owned(), value("a")),
                ("TOKEN".to_owned(), None),
                ("B".to_owned(), value("2")),
                ("KEY".to_owned(), None)
            ]
        );
        assert_eq!(
            application.lists["--jars"],
            ["local:///opt/a.jar", "https://b.example/b.jar"]
        );
        assert_eq!(application.lists["--packages"], ["a:b:1"]);
    }

    #[test]
    fn the_other_operators_objects_are_read_by_their_own_words() {
        let apache = one("
apiVersion: spark.apache.org/v1
kind: SparkApplication
metadata: {name: a}
spec:
  mainClass: org.apache.spark.deploy.PythonRunner
  pyFiles: 'local:///opt/job/main.py, local:///opt/job/more.zip'
  driverArgs: ['5']
  sparkConf: {spark.kubernetes.container.image: 'job:1'}
  driverSpec: {podTemplateSpec: {spec: {containers: [{name: d, env: [{name: A, value: a}]}]}}}
");
        assert_eq!(apache.images, ["job:1"]);
        assert_eq!(
            apache.main_file.as_deref(),
            Some("local:///opt/job/main.py")
        );
        assert_eq!(apache.main_class, None);
        assert_eq!(apache.lists["--py-files"], ["local:///opt/job/more.zip"]);
        assert_eq!(apache.arguments, ["5"]);
        assert_eq!(apache.environment.len(), 1);
        let stackable = one("
apiVersion: spark.stackable.tech/v1alpha1
kind: SparkApplication
metadata: {name: s}
spec:
  sparkImage: {custom: 'spark:1', productVersion: 3.5.8}
  image: job:2
  mainApplicationFile: local:///stackable/spark/jobs/main.py
  args: [--a]
  env: [{name: A, value: a}]
");
        assert_eq!(stackable.images, ["spark:1", "job:2"]);
        assert_eq!(stackable.arguments, ["--a"]);
        assert_eq!(stackable.environment.len(), 1);
    }

    #[test]
    fn applications_are_found_in_lists_and_texts_and_templates_are_none() {
        let in_others = "kind: List\napiVersion: v1\nitems:\n- apiVersion: sparkoperator.k8s.io/v1beta2\n  kind: SparkApplication\n  metadata: {name: a}\n  spec: {arguments: ['${DAY}', 'x']}\n---\nkind: ConfigMap\napiVersion: v1\ndata:\n  app.yaml: |\n    apiVersion: sparkoperator.k8s.io/v1beta2\n    kind: SparkApplication\n    metadata: {name: b}\n    spec: {}\n";
        let found = applications(in_others).unwrap();
        let names: Vec<&str> = found.iter().map(|found| &*found.name).collect();
        assert_eq!(names, ["a", "b"]);
        let placeholders: Vec<&str> = found[0].placeholders().collect();
        assert_eq!(placeholders, ["${DAY}"]);
        assert_eq!(applications("kind: Pod\nspec: {}\n"), Some(Vec::new()));
        assert_eq!(applications("a: {{ .Values.x }}: b\n"), None);
    }
}
