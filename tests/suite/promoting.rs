//! `promote` copies a set from one registry into another, byte for byte, or writes nothing.

use crate::support::{
    Fault, FaultProxy, PASSWORD, Registry, Root, Run, TestProject, USER, count, remove_images,
    sample,
};

/// Two registries, and a project with two images that the daemon builds and one that only gets files.
struct Promoting {
    dev: Registry,
    prod: Registry,
    /// Stands before `prod`.
    proxy: FaultProxy,
    project: TestProject,
    _root: Root,
}

impl Promoting {
    fn new(name: &str) -> Self {
        let [dev, prod] = [0; 2].map(|_| Registry::with_password(USER, PASSWORD));
        let proxy = FaultProxy::before(&prod.host());
        let pod = |host: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nspec: {{containers: [{{image: {host}/{name}/job:unbuilt}}]}}\n"
            )
        };
        let project = TestProject::new(&[
            (
                "base/Dockerfile",
                "ARG ROOT\nFROM ${ROOT}\nCOPY base/base.txt /opt/\nENV SPARK_HOME=/opt/spark\n",
            ),
            ("base/base.txt", name),
            ("py/Dockerfile", "FROM base\nCOPY py/py.txt /opt/\n"),
            ("py/py.txt", name),
            ("src/main.py", "print('main')\n"),
            ("src/jobs/__init__.py", ""),
            ("dev.yml", &pod(&dev.host())),
            ("prod.yml", &pod(&proxy.host())),
        ]);
        let text = format!(
            "format = 1\nproject = \"promoting\"\npin = \"tag+digest\"\n\n\
             [registries]\ndev = \"{}/{name}\"\nprod = \"{}/{name}\"\n\n\
             [chains.main]\nspark = \"4.1.4\"\npython = \"3.11\"\nroot = \"sparkpack-test/{name}:root\"\n\n\
             [images.base]\ndockerfile = \"base/Dockerfile\"\n\n\
             [images.py]\nparent = \"base\"\ndockerfile = \"py/Dockerfile\"\n\n\
             [images.job]\nsrc = \"src\"\nparent = \"py\"\n\n\
             [manifests]\ndev = [\"dev.yml\"]\nprod = [\"prod.yml\"]\n",
            dev.host(),
            proxy.host()
        );
        project.write("sparkpack.toml", &text);
        project.sign_in_to(&[&dev.host(), &proxy.host()], USER, PASSWORD);
        let made = Self {
            _root: Root::new(name, name),
            project: project.with_variable("SPARKPACK_TEST_PAUSE", "4"),
            dev,
            prod,
            proxy,
        };
        made.project.succeed(&["lock"]);
        made
    }

    /// Runs sparkpack where no daemon answers.
    fn without_daemon(&self, arguments: &[&str]) -> Run {
        let mut command = self.project.command(arguments);
        crate::support::run(command.env("DOCKER_HOST", "unix:///nowhere/docker.sock"))
    }

    /// `promote --registry dev --to prod`, which must succeed.
    fn promote(&self) -> Run {
        let run = self.without_daemon(&["promote", "--registry", "dev", "--to", "prod"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run
    }

    /// The tag of an image.
    fn tag(&self, image: &str) -> String {
        let printed = self.project.succeed(&["tags", "--registry", "dev", image]);
        let reference = printed.stdout.trim();
        reference.rsplit_once(':').unwrap().1.to_owned()
    }

    /// The digests of the whole images in a registry, lowest first; `None` for one that is not there.
    fn digests(&self, registry: &Registry, name: &str) -> [Option<String>; 3] {
        ["base", "py", "job"]
            .map(|image| registry.whole_image(&format!("{name}/{image}"), &self.tag(image)))
    }

    /// The line of `prod` in the configuration.
    fn prod_line(&self) -> String {
        let text = self.project.read("sparkpack.toml");
        let line = text.lines().find(|line| line.starts_with("prod = \""));
        line.unwrap().to_owned()
    }

    fn writing_requests(&self) -> Vec<String> {
        let asked = self.proxy.asked().into_iter();
        let writing = asked.filter(|asked| !matches!(&*asked.method, "GET" | "HEAD"));
        let requests = writing.map(|asked| format!("{} {}", asked.method, asked.path));
        requests.collect()
    }
}

impl Drop for Promoting {
    fn drop(&mut self) {
        remove_images(&format!("{}/", self.dev.host()));
    }
}

#[test]
fn a_set_is_copied_byte_for_byte_and_nothing_is_sent_twice() {
    let name = "promote-set";
    let made = Promoting::new(name);
    made.project.succeed(&["push", "--registry", "dev"]);
    let before = made.project.read("dev.yml");
    let run = made.promote();
    let digests = made.digests(&made.dev, name);
    assert!(digests.iter().all(Option::is_some), "{digests:?}");
    assert_eq!(made.digests(&made.prod, name), digests);
    let job = format!(
        "{}/{name}/job:{}@{}",
        made.proxy.host(),
        made.tag("job"),
        digests[2].as_ref().unwrap()
    );
    assert!(run.stdout.contains(&job), "{}", run.stdout);
    assert!(made.project.read("prod.yml").contains(&job));
    assert_eq!(made.project.read("dev.yml"), before);
    assert!(made.project.read("sparkpack.pins").contains("prod"));
    assert!(made.project.read("dist/images.json").contains("\"copied\""));
    made.project.succeed(&["check", "--remote"]);
    // Tags come after all manifests by digest, and layers of the parent are mounted.
    let puts = made.writing_requests();
    let is_tag = |request: &&String| {
        request.contains("/manifests/") && !request.contains("/manifests/sha256:")
    };
    let tags = puts.iter().rev().take_while(is_tag).count();
    assert_eq!(tags, puts.iter().filter(is_tag).count(), "{puts:?}");
    let is_mount = |request: &String| request.contains("mount=");
    assert!(puts.iter().any(is_mount), "{puts:?}");

    made.proxy.begin_anew();
    let again = made.promote();
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    assert_eq!(made.writing_requests(), [""; 0]);
}

#[test]
fn what_cannot_be_copied_whole_is_not_begun() {
    let name = "promote-not";
    let made = Promoting::new(name);
    let files = made.project.files();
    let refused = |arguments: &[&str], code: i32, told: &str| {
        made.proxy.begin_anew();
        let run = made.without_daemon(arguments);
        assert_eq!(run.code, code, "{}", run.stderr);
        assert!(run.stderr.contains(told), "{}", run.stderr);
        assert_eq!(run.stdout, "");
        assert_eq!(made.writing_requests(), [""; 0]);
    };
    let promote = ["promote", "--registry", "dev", "--to", "prod"];
    // Nothing is there yet: each image is named.
    refused(&promote, 6, "the registry `dev` does not have it");
    assert_eq!(made.project.files(), files);
    made.project.succeed(&["push", "--registry", "dev", "py"]);
    refused(&promote, 6, "sparkpack push --registry dev");
    refused(
        &["promote", "--registry", "dev", "--to", "dev"],
        2,
        "error[E087]",
    );
    refused(
        &["promote", "--registry", "dev", "--to", "nowhere"],
        2,
        "error[E087]",
    );
    // The tag belongs to an image of other inputs.
    made.project.succeed(&["push", "--registry", "dev"]);
    made.project.write("py/py.txt", "other\n");
    made.project.succeed(&["push", "--registry", "dev", "py"]);
    let [dev, others] = [&made.dev, &made.prod];
    let path = |tag: &str| format!("/v2/{name}/py/manifests/{tag}");
    let other = dev.ask("GET", &path(&made.tag("py")));
    made.project.write("py/py.txt", name);
    let manifest: serde_json::Value = serde_json::from_slice(&other.body).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    for blob in layers.iter().chain([&manifest["config"]]) {
        let digest = blob["digest"].as_str().unwrap();
        let bytes = dev.ask("GET", &format!("/v2/{name}/py/blobs/{digest}"));
        others.put_blob(&format!("{name}/py"), &bytes.body);
    }
    others.put_manifest(&path(&made.tag("py")), &other.body);
    refused(&promote, 3, "error[E301]");
    assert_eq!(made.digests(others, name)[0], None);
}

/// A set of which a parent is there as another image would be none.
#[test]
fn images_are_not_put_beside_another_image_of_their_parent() {
    let name = "promote-other";
    let made = Promoting::new(name);
    made.project.succeed(&["push", "--registry", "dev"]);
    remove_images(&format!("{}/", made.dev.host()));
    // Another builder makes other bytes.
    let mut push = made
        .project
        .command(&["push", "--registry", "prod", "base"]);
    let pushed = crate::support::run(push.env("DOCKER_BUILDKIT", "0"));
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    remove_images(&format!("{}/", made.proxy.host()));
    assert_ne!(
        made.digests(&made.dev, name)[0],
        made.digests(&made.prod, name)[0]
    );
    let before = made.project.read("prod.yml");
    made.proxy.begin_anew();
    let run = made.without_daemon(&["promote", "--registry", "dev", "--to", "prod"]);
    assert_eq!((run.code, &*run.stdout), (6, ""), "{}", run.stderr);
    let told = "it stands on another image of `base` than the one that the registry `prod` has";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    assert_eq!(made.writing_requests(), [""; 0]);
    assert_eq!(made.project.read("prod.yml"), before);
}

#[test]
fn a_set_is_copied_whatever_requests_fail() {
    let name = "promote-faults";
    let made = Promoting::new(name);
    made.project.succeed(&["push", "--registry", "dev"]);
    let digests = made.digests(&made.dev, name);
    made.promote();
    let requests = made.proxy.asked().len();
    let faults = Fault::transient();
    let cases: Vec<(usize, usize)> = (0..requests)
        .flat_map(|nth| (0..faults.len()).map(move |fault| (nth, fault)))
        .collect();
    let cases = sample(cases, 12);
    let (mut met, mut failures) = (0, Vec::new());
    for (nth, fault) in cases {
        // The folder is another one each time, so that everything is copied.
        let line = format!("prod = \"{}/f{nth}-{fault}\"", made.proxy.host());
        made.project
            .edit("sparkpack.toml", &made.prod_line(), &line);
        made.proxy.begin_anew();
        let (what, harm) = faults[fault].clone();
        made.proxy.harm_nth(nth, |_| true, harm);
        let run = made.without_daemon(&["promote", "--registry", "dev", "--to", "prod"]);
        met += made.proxy.harmed().min(1);
        let there = ["base", "py", "job"].map(|image| {
            let repository = format!("f{nth}-{fault}/{image}");
            made.prod.whole_image(&repository, &made.tag(image))
        });
        if run.code != 0 || there != digests {
            failures.push(format!("{what} at request {nth}: {}", run.stderr));
        }
    }
    count("P15", "a promotion, one fault each", met, &failures);
}
