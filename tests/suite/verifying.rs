//! `verify` makes an image again from the checkout of its tag, and names the first difference.

use serde_json::Value;

use crate::support::{PASSWORD, Registry, StandIn, TestProject, USER, run, sha256};

const UPSTREAM: &str = "apache/spark:3.5.8-python3";

/// A job on an image from elsewhere in a real registry, in git; no daemon is needed.
struct Verifying {
    registry: Registry,
    project: TestProject,
}

impl Verifying {
    fn new() -> Self {
        let registry = Registry::with_password(USER, PASSWORD);
        let host = registry.host();
        StandIn::new().push(&format!("{host}/{UPSTREAM}"));
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nspec: {{containers: [{{image: {host}/verify/job:unbuilt}}]}}\n"
        );
        let text = format!(
            "format = 1\nproject = \"verifying\"\nregistries.main = \"{host}/verify\"\n\n\
             [mirrors]\nregistries.\"upstream.example\" = \"{host}\"\n\n\
             [chains.main]\nimage = \"upstream.example/{UPSTREAM}\"\n\n\
             [images.job]\nsrc = \"src\"\nparent = \"py\"\n\n[manifests]\nmain = [\"*.yml\"]\n"
        );
        let project = TestProject::new(&[
            ("src/main.py", "print('main')\n"),
            ("src/jobs/__init__.py", ""),
            ("src/jobs/data.json", "{}\n"),
            ("pod.yml", &pod),
            (".gitignore", "dist/\n"),
            ("sparkpack.toml", &text),
        ]);
        let project = project.with_variable("DOCKER_HOST", "unix:///nowhere/docker.sock");
        project.sign_in(&host, USER, PASSWORD);
        project.succeed(&["lock"]);
        project.begin_git();
        let made = Self { registry, project };
        made.push();
        made
    }

    /// Pushes the job, commits all files, and returns the tag.
    fn push(&self) -> String {
        self.project.succeed(&["push"]);
        self.project.git(&["add", "--all"]);
        self.project.git(&["commit", "--quiet", "--message", "job"]);
        let reference = self.project.reference("job");
        reference.rsplit_once(':').unwrap().1.to_owned()
    }

    fn manifest(&self, tag: &str) -> Vec<u8> {
        let path = format!("/v2/verify/job/manifests/{tag}");
        self.registry.ask("GET", &path).body
    }

    fn blob(&self, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let path = format!("/v2/verify/job/blobs/{digest}");
        self.registry.ask("GET", &path).body
    }

    /// Has the manifest name other bytes.
    fn replace(&self, descriptor: &mut Value, bytes: &[u8]) {
        self.registry.put_blob("verify/job", bytes);
        descriptor["digest"] = sha256(bytes).into();
        descriptor["size"] = bytes.len().into();
    }

    /// Gives the tag to another image.
    fn put(&self, tag: &str, manifest: &[u8]) {
        let path = format!("/v2/verify/job/manifests/{tag}");
        self.registry.put_manifest(&path, manifest);
    }

    /// The error of a verification that finds a difference.
    fn difference(&self, image: &str) -> String {
        let run = self.project.run(&["verify", image]);
        assert_eq!((run.code, &*run.stdout), (1, ""), "{}", run.stderr);
        let error = run.stderr.lines().find(|line| line.starts_with("error["));
        let error = error.unwrap();
        assert!(error.starts_with("error[E104]: `"), "{error}");
        error.rsplit_once(": ").unwrap().1.to_owned()
    }
}

#[test]
fn an_image_is_the_one_that_its_checkout_makes() {
    let made = Verifying::new();
    let tag = made.project.reference("job");
    let tag = tag.rsplit_once(':').unwrap().1;
    let digest = made.registry.whole_image("verify/job", tag).unwrap();
    let told = format!("{}/verify/job@{digest}\n", made.registry.host());
    let run = made.project.succeed(&["verify", "job"]);
    assert_eq!(run.stdout, told);
    // What lies in the cache has no say in it, and neither have later commits.
    fs_err::remove_dir_all(made.project.cache()).unwrap();
    made.project.write("src/jobs/data.json", "{\"a\": 1}\n");
    let newer = made.push();
    assert_ne!(newer, tag);
    made.project.write("src/jobs/data.json", "unsaved\n");
    let files = made.project.files();
    let of_tag = format!("job:{tag}");
    assert_eq!(made.project.succeed(&["verify", &of_tag]).stdout, told);
    assert_eq!(made.project.files(), files);

    // There is no image of the changed checkout, no commit of another tag, and no other name.
    let run = made.project.run(&["verify", "job"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("sparkpack push"), "{}", run.stderr);
    let run = made.project.run(&["verify", "job:0123456789abcdef"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("no commit is found"), "{}", run.stderr);
    assert_eq!(made.project.run(&["verify", "jbo"]).code, 2);
}

#[test]
fn the_first_difference_is_named() {
    let made = Verifying::new();
    let tag = made.project.reference("job");
    let tag = tag.rsplit_once(':').unwrap().1;
    let bytes = made.manifest(tag);
    let whole: Value = serde_json::from_slice(&bytes).unwrap();

    // A variable was added to the config.
    let mut manifest = whole.clone();
    let mut config: Value = serde_json::from_slice(&made.blob(&whole["config"])).unwrap();
    config["config"]["Env"]
        .as_array_mut()
        .unwrap()
        .push("A=1".into());
    made.replace(&mut manifest["config"], config.to_string().as_bytes());
    made.put(tag, manifest.to_string().as_bytes());
    assert_eq!(
        made.difference("job"),
        "`/config/Env` of its config has another value"
    );

    // A file of the code was changed, and the diff IDs with it.
    let mut manifest = whole.clone();
    let layers = manifest["layers"].as_array_mut().unwrap();
    let last = layers.last_mut().unwrap();
    let layer = changed(&made.blob(last));
    made.replace(last, &layer);
    made.put(tag, manifest.to_string().as_bytes());
    let difference = made.difference(&format!("job:{tag}"));
    assert_eq!(difference, "`opt/job/main.py` differs from byte 8 on");

    made.put(tag, &bytes);
    // A layer that the registry has lost.
    let digest = whole["layers"].as_array().unwrap().last().unwrap()["digest"].clone();
    let path = format!("/v2/verify/job/blobs/{}", digest.as_str().unwrap());
    let lost = made.registry.ask("GET", &path).body;
    assert_eq!(made.registry.ask("DELETE", &path).status, 202);
    let run = made.project.run(&["verify", "job"]);
    assert_eq!((run.code, &*run.stdout), (6, ""), "{}", run.stderr);
    let lacks = "has lost 1 of its blobs";
    assert!(run.stderr.contains(lacks), "{}", run.stderr);
    made.registry.put_blob("verify/job", &lost);
    made.project.succeed(&["verify", "job"]);
}

/// A layer in which `main.py` prints something else.
fn changed(layer: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("layer.tgz");
    fs_err::write(&file, layer).unwrap();
    // Of the same length, so that nothing but these bytes changes.
    let script = "gunzip -c \"$1\" | sed \"s/print('main')/print('mxxn')/\" | gzip -n > \"$1.new\"";
    let path = file.to_str().unwrap();
    crate::support::program("sh", &["-c", script, "sh", path]);
    fs_err::read(folder.path().join("layer.tgz.new")).unwrap()
}

#[test]
fn a_tag_of_another_commit_cannot_be_looked_for_without_git_which_is_told() {
    let made = Verifying::new();
    let mut command = made.project.command(&["verify", "job:0123456789abcdef"]);
    let told = run(command.env("PATH", "/nonexistent"));
    assert_eq!(told.code, 2, "{}", told.stderr);
    let words = "no commit is found that has 0123456789abcdef: git is not installed\nhint: ";
    assert!(told.stderr.contains(words), "{}", told.stderr);
}
