//! Whole builds, from a checkout to images in a daemon in memory.

use crate::{
    adapters::{
        builder::BuildError,
        docker::{DockerError, ProgramEnd},
        fakes::{image, registry_image, unreachable},
    },
    code::Code,
    error::Error,
    image::{ImagePython, LABEL_FINGERPRINT, LABEL_STAGE},
    operations::{
        build::{BuildImages, BuildOutput, Finished, build},
        dist::Action,
        resolution::Strictness,
        testing::{MISTAKES, Mistake, Project, ROOT, TestRun, actions},
        workspace::LockPolicy,
    },
    yaml::parses,
};

const MANIFEST: &str = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: registry.example/small/job:old\n";

/// `job` with the parent `base`, whose external base image only the daemon has; and a manifest that names `job`.
fn with_manifest() -> TestRun {
    TestRun::with_root(Project::with_manifests(&[("a.yml", MANIFEST)]))
}

/// The same project, but the external image is in the registry and locked by its digest. Also returns the name by which
/// the image is pulled.
fn on_registrys() -> (TestRun, String) {
    let run = TestRun::new(Project::with_manifests(&[("a.yml", MANIFEST)]));
    let root = registry_image(image("root"));
    let lock = format!(
        "format = 1\n\n[images.\"{ROOT}\"]\ndigest = \"{}\"\n",
        root.digest
    );
    run.project.write("sparkpack.lock", &lock);
    let pinned = format!("registry.example/root@{}", root.digest);
    run.registry.images.put(ROOT, root);
    (run, pinned)
}

#[test]
fn an_image_from_elsewhere_is_pulled_once_for_all_that_stand_on_it() {
    let (run, pinned) = on_registrys();
    let names = ["b", "c", "d"];
    let image = format!("parent = \"{ROOT}\"\ndockerfile = \"own.Dockerfile\"\n");
    let images = names.map(|name| format!("[images.{name}]\n{image}\n"));
    let base = "[images.base]";
    let with_more = format!("{}{base}", images.concat());
    run.project.edit("sparkpack.toml", base, &with_more);
    let dockerfile = "ARG PARENT\nFROM ${PARENT}\nCOPY base.txt /opt/\n";
    run.project.write("own.Dockerfile", dockerfile);
    let targets = names.map(str::to_owned);
    let built = run.run(|session, services| build(session, services, in_daemon(&targets)));
    assert_eq!(built.unwrap().images.len(), 3);
    assert_eq!(run.daemon.moved(), [format!("pull {pinned}")]);
}

/// A build in the daemon.
fn in_daemon(targets: &[String]) -> BuildImages<'_> {
    BuildImages {
        output: &BuildOutput::Daemon,
        registry: None,
        targets,
        tests_imports: false,
        strictness: Strictness::OFF,
    }
}

/// Builds `job`.
fn built(run: &TestRun) -> Result<Finished, Error> {
    let job = ["job".to_owned()];
    run.run(|session, services| build(session, services, in_daemon(&job)))
}

/// Builds `job` and imports its modules.
fn tested(run: &TestRun) -> Result<Finished, Error> {
    let targets = ["job".to_owned()];
    let request = BuildImages {
        tests_imports: true,
        ..in_daemon(&targets)
    };
    run.run(|session, services| build(session, services, request))
}

/// The error of a build, after a check that `job` was not built and no file was written.
fn refused(run: &TestRun) -> Error {
    let error = built(run).err().unwrap();
    assert_eq!(run.project.read("a.yml"), MANIFEST, "{error}");
    assert!(!run.project.path("dist/images.json").exists(), "{error}");
    let told = run.events.told();
    assert!(
        !told.iter().any(|line| line.starts_with("job: built")),
        "{told:?}"
    );
    error
}

#[test]
fn what_the_daemon_lacks_is_built_and_named_and_then_found() {
    let building = with_manifest();
    let finished = built(&building).unwrap();
    assert!(!finished.was_current);
    assert_eq!(
        actions(&finished),
        [("base", Action::Built), ("job", Action::Built)]
    );
    let job = &finished.images[1].reference;
    let named = building.project.read("a.yml");
    assert!(named.contains(&format!("image: {job}\n")), "{named}");
    let listed = building.project.read("dist/images.json");
    assert!(listed.contains(&job.to_string()), "{listed}");
    let told = building.events.told();
    let at = |line: &str| told.iter().position(|told| told == line).expect(line);
    let base = &finished.images[0].reference;
    let lines = [
        "base: build, the daemon does not have it".to_owned(),
        format!("base: built {base}"),
        "job: build, the daemon does not have it".to_owned(),
        format!("job: built {job}"),
        format!("a.yml:5:14: now {job}"),
    ];
    assert!(lines.map(|line| at(&line)).is_sorted(), "{told:?}");
    assert!(building.project.path("dist/main.py").exists());

    let again = built(&building).unwrap();
    assert!(again.was_current);
    assert_eq!(actions(&again), [("job", Action::Reused)]);
    assert_eq!(building.events.told(), [format!("job: daemon has {job}")]);
    assert_eq!(building.registry.images.looked_up(), [""; 0]);
}

#[test]
fn a_build_parses_a_manifest_once_and_again_to_prove_that_it_is_rewritten_well() {
    let building = with_manifest();
    for mark in ["", " # sparkpack: job"] {
        let own = format!("# parsed {}\n", mark.len());
        let old = MANIFEST.replace(":old", &format!(":old{mark}")) + &own;
        building.project.write("a.yml", &old);
        built(&building).unwrap();
        let new = building.project.read("a.yml");
        assert_ne!(new, old);
        assert_eq!(parses::of(&old), 2, "before, and beside the new text");
        assert_eq!(parses::of(&new), 1, "beside the old text");

        let current = new + "# current\n";
        building.project.write("a.yml", &current);
        built(&building).unwrap();
        assert_eq!(building.project.read("a.yml"), current);
        assert_eq!(parses::of(&current), 1);
    }
}

#[test]
fn an_external_image_is_pulled_by_its_digest_once() {
    let (building, pinned) = on_registrys();
    built(&building).unwrap();
    assert_eq!(building.daemon.moved(), [format!("pull {pinned}")]);
    let told = building.events.told();
    assert!(told.contains(&format!("base: pull {ROOT}")), "{told:?}");
    building.project.write("base.txt", "changed\n");
    built(&building).unwrap();
    assert_eq!(building.daemon.moved(), [""; 0], "it is there");
}

#[test]
fn an_external_image_of_another_platform_is_pulled_for_the_wanted_one() {
    let (building, pinned) = on_registrys();
    let mut other = image("root for arm64");
    other.platform = "linux/arm64".parse().unwrap();
    building.daemon.images.put(&pinned, other);
    built(&building).unwrap();
    assert_eq!(building.daemon.moved(), [format!("pull {pinned}")]);
}

#[test]
fn nothing_is_built_on_an_external_image_that_lies() {
    let building = with_manifest();
    let root = building.daemon.images.get(ROOT).unwrap();
    building.daemon.images.put_program(&root.id, 183);
    let error = refused(&building);
    assert_eq!(error.code(), Code::E606);
    let wanted = "it says that it is for linux/amd64, but its `/bin/sh` is a program for arm64";
    assert!(error.to_string().ends_with(wanted), "{error}");
    assert!(building.daemon.builder.requests().is_empty());

    let mut other = root;
    other.platform = "linux/arm64".parse().unwrap();
    building.daemon.images.put(ROOT, other);
    let error = refused(&building);
    let wanted = "it is for linux/arm64, and an image for linux/amd64 is to stand on it";
    assert!(error.to_string().ends_with(wanted), "{error}");
}

#[test]
fn an_external_image_that_cannot_be_had_is_an_error() {
    let (mut building, _) = on_registrys();
    building.daemon.fail_next_move(DockerError::Pull {
        reference: Box::new(ROOT.parse().unwrap()),
        message: "broken pipe".to_owned(),
    });
    assert_eq!(refused(&building).code(), Code::E604);
    building.policy = LockPolicy::Offline;
    building.daemon.moved();
    assert_eq!(refused(&building).code(), Code::E035);
    assert_eq!(building.daemon.moved(), [""; 0]);

    let building = with_manifest();
    building.daemon.images.put(ROOT, image("another root"));
    let error = refused(&building);
    assert_eq!(error.code(), Code::E606);
    assert!(error.to_string().contains("under that name"), "{error}");
    building.daemon.images.remove(ROOT);
    let error = refused(&building);
    assert_eq!(error.code(), Code::E606);
    assert!(
        error.to_string().contains("it is not in the local daemon"),
        "{error}"
    );
    let hint = error.hint().unwrap();
    assert!(
        hint.contains(&format!("`sparkpack lock --upgrade {ROOT}`")),
        "{hint}"
    );
}

#[test]
fn what_stands_on_a_failed_build_is_skipped() {
    let building = with_manifest();
    building.daemon.builder.fail_next(DockerError::Answer {
        doing: "build".to_owned(),
        message: "busy".to_owned(),
    });
    let error = built(&building).err().unwrap();
    assert_eq!(error.code(), Code::E605);
    assert_eq!(building.events.told().last().unwrap(), "job: skipped");
    assert_eq!(building.daemon.builder.requests().len(), 1);
}

#[test]
fn what_is_wrong_with_the_project_is_told_before_anything_is_built() {
    let no_folder: (&str, Mistake, Code) = (
        "a file in the place of `dist`",
        |to| to.project.write("dist", "a file"),
        Code::E610,
    );
    for (what, mistake, code) in MISTAKES.into_iter().chain([no_folder]) {
        let mut building = with_manifest();
        mistake(&mut building);
        assert_eq!(refused(&building).code(), code, "{what}");
        assert_eq!(building.daemon.builder.requests().len(), 0, "{what}");
    }
}

#[test]
fn a_broken_manifest_is_told_before_anything_is_looked_up() {
    let mut building = with_manifest();
    building.policy = LockPolicy::Update;
    building.project.write("sparkpack.lock", "format = 1\n");
    building.project.write("b.yml", "a: [");
    building.registry.fail_next(unreachable());
    assert_eq!(refused(&building).code(), Code::E060);
    assert_eq!(building.daemon.images.looked_up(), [""; 0]);
    assert_eq!(building.project.read("sparkpack.lock"), "format = 1\n");
    // Without it, the daemon is asked for the image that the registry does not give.
    fs_err::remove_file(building.project.path("b.yml")).unwrap();
    built(&building).unwrap();
    assert!(building.project.read("sparkpack.lock").contains(ROOT));
}

const CHAIN: &str = r#"format = 1
project = "small"
registries.main = "registry.example/small"

[chains.main]
spark = "4.1.4"
python = "3.12"
root = "registry.example/root:1"
spark-source = "spark"

[sources.spark]
url = "https://example.org/spark-4.1.4-bin-hadoop3.tgz"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"

[images.job]
parent = "py"
src = "src"
"#;

/// A project of the built-in recipes, whose root image is Debian 12 without a Python; with the name of that image in the
/// daemon.
fn of_recipes() -> (TestRun, String) {
    let run = TestRun::new(Project::new(&[
        ("sparkpack.toml", CHAIN),
        ("src/main.py", ""),
    ]));
    let root = registry_image(image("root"));
    let lock = format!(
        "format = 1\n\n[images.\"{ROOT}\"]\ndigest = \"{}\"\n",
        root.digest
    );
    run.project.write("sparkpack.lock", &lock);
    let debian = ImagePython::OfDistribution {
        id: "debian".to_owned(),
        version: "12".to_owned(),
    };
    run.daemon.images.put_python(&root.info.id, debian);
    let pinned = format!("registry.example/root@{}", root.digest);
    run.registry.images.put(ROOT, root);
    (run, pinned)
}

fn check_other_python(building: &TestRun) {
    let error = built(building).err().unwrap();
    assert_eq!(error.code(), Code::E039, "{error}");
    let wanted = format!(
        "sparkpack.toml:7:10: `{ROOT}` is Debian 12 by its `os-release`, which has Python 3.11, not Python 3.12"
    );
    assert_eq!(error.to_string(), wanted);
    let hint = error.hint().unwrap();
    assert!(hint.starts_with("write `python = \"3.11\"`"), "{hint}");
    assert_eq!(building.daemon.builder.requests().len(), 0);
}

#[test]
fn a_root_image_with_another_python_is_refused_before_the_first_step() {
    let (building, pinned) = of_recipes();
    // The daemon does not have it: it is looked into as soon as it has been pulled.
    check_other_python(&building);
    assert_eq!(building.daemon.moved(), [format!("pull {pinned}")]);
    let told = building.events.told();
    assert!(
        told.iter().any(|line| line.starts_with("base: ")),
        "{told:?}"
    );
    let looks = building.daemon.images.looked_into();

    // Now it has, and nothing is begun; what was found is remembered.
    check_other_python(&building);
    assert_eq!(building.daemon.moved(), [""; 0]);
    let told = building.events.told();
    assert!(
        !told.iter().any(|line| line.starts_with("base: ")),
        "{told:?}"
    );
    assert!(!looks.is_empty());
    assert_eq!(building.daemon.images.looked_into(), []);
}

#[test]
fn a_base_that_is_there_tells_the_python_of_its_root() {
    let (building, _) = of_recipes();
    let (reference, fingerprint) = building.run(|session, services| {
        let prepared = crate::operations::resolution::prepare(session, services).unwrap();
        let base = prepared.plan.stages["base"].first();
        let registry = session.registry(None).unwrap();
        (
            base.reference(registry).to_string(),
            base.fingerprint.clone(),
        )
    });
    let mut base = image("base");
    base.labels
        .insert(LABEL_STAGE.to_owned(), "base".to_owned());
    base.labels
        .insert(LABEL_FINGERPRINT.to_owned(), fingerprint.hex().to_owned());
    let debian = ImagePython::OfDistribution {
        id: "debian".to_owned(),
        version: "12".to_owned(),
    };
    building.daemon.images.put_python(&base.id, debian);
    building.daemon.images.put(&reference, base.clone());
    check_other_python(&building);
    assert_eq!(building.daemon.images.looked_into(), [base.id]);
    assert_eq!(building.daemon.moved(), [""; 0]);

    // A Dockerfile of one's own may take a Python from elsewhere.
    let own = "[images.py]\nparent = \"base\"\ndockerfile = \"py.Dockerfile\"\n\n[images.job]";
    building.project.edit("sparkpack.toml", "[images.job]", own);
    building.project.write("py.Dockerfile", "FROM base\n");
    built(&building).unwrap();
}

#[test]
fn an_operators_image_without_the_binary_is_told_by_its_key() {
    let building = with_manifest();
    let operator = format!("[chains.main.operator]\nimage = \"{ROOT}\"\n\n[images.base]");
    building
        .project
        .edit("sparkpack.toml", "[images.base]", &operator);
    let build_it = |image: &str| {
        let targets = [image.to_owned()];
        building.run(|session, services| build(session, services, in_daemon(&targets)))
    };
    build_it("base").unwrap();
    for (message, code) in [
        (
            "\"/usr/bin/spark-operator\" not found: not found",
            Code::E096,
        ),
        ("no space left on device", Code::E602),
    ] {
        building.daemon.builder.fail_next(BuildError::Failed {
            instruction: None,
            step: None,
            last_lines: Vec::new(),
            message: message.to_owned(),
            hint: None,
        });
        let error = build_it("operator").err().unwrap();
        assert_eq!(error.code(), code, "{error}");
        if code == Code::E096 {
            let wanted = format!(
                "`operator.path` is `/usr/bin/spark-operator`, and the image `{ROOT}` has no such file"
            );
            assert!(error.to_string().ends_with(&wanted), "{error}");
        }
    }
}

/// What the program prints of a job whose `jobs.one` fails on the driver, and on the workers for another reason.
const FAILING: &str = r#"{"begin": "Spark", "on": "driver"}
! Picked up JAVA_TOOL_OPTIONS
{"begin": "jobs", "on": "driver"}
{"imported": "jobs", "on": "driver", "failed": null}
{"begin": "jobs.one", "on": "driver"}
{"imported": "jobs.one", "on": "driver", "failed": {"type": "ValueError", "message": "no", "place": ["/opt/job/jobs.zip/jobs/one.py", 1]}}
{"imported": "main.py", "on": "driver", "failed": null}
{"begin": "", "on": "workers"}
{"imported": "jobs", "on": "workers", "failed": null}
{"imported": "jobs.one", "on": "workers", "failed": {"type": "ValueError", "message": "other", "place": null}}
{"imported": "jobs.one", "on": "workers", "failed": {"type": "ValueError", "message": "other", "place": null}}
{"done": true}
"#;

const PASSING: &str = r#"{"imported": "git", "on": "driver", "along": true, "failed": {"type": "ImportError", "message": "no git", "place": null}}
{"imported": "", "on": "arrow", "failed": null}
{"done": true}
"#;

#[test]
fn manifests_name_an_image_only_if_all_its_imports_succeed() {
    let run = with_manifest();
    run.daemon.will_print(FAILING, ProgramEnd::Exit(Some(0)));
    let error = tested(&run).err().unwrap();
    assert_eq!(error.code(), Code::E210);
    assert_eq!(error.headline(), "`job`: 1 of 3 imports fail in the image");
    assert_eq!(
        error.because().unwrap(),
        "jobs.one, on the driver: ValueError: no (/opt/job/jobs.zip/jobs/one.py, line 1)\n\
         jobs.one, in the workers: ValueError: other"
    );
    assert_eq!(run.project.read("a.yml"), MANIFEST);
    let asked: serde_json::Value = serde_json::from_str(&run.daemon.given()).unwrap();
    assert_eq!(
        asked,
        serde_json::json!({
            "folder": "/opt/job",
            "asked": [],
            "packages": [],
            "modules": ["jobs", "jobs.one"],
            "mains": [{"name": "main.py", "modules": [], "code": "cHJpbnQoJ21haW4nKQo="}],
        })
    );
    run.daemon.will_print(PASSING, ProgramEnd::Exit(Some(0)));
    tested(&run).unwrap();
    assert_ne!(run.project.read("a.yml"), MANIFEST);
    let told = run.events.told();
    let note = "job: not git, on the driver: ImportError: no git".to_owned();
    assert!(told.contains(&note), "{told:?}");
    let summary = "job: imported 2 modules, and ran an Arrow UDF".to_owned();
    assert!(told.contains(&summary), "{told:?}");
}

#[test]
fn an_import_test_without_a_result_is_an_error() {
    for (output, end, code, text) in [
        (
            "{\"begin\": \"jobs\", \"on\": \"driver\"}\n! Fatal error\n",
            ProgramEnd::Exit(Some(139)),
            Code::E211,
            "`job`: the import test ended while it imported jobs on the driver, with exit code 139\nFatal error",
        ),
        (
            "{\"begin\": \"\", \"on\": \"workers\"}\n",
            ProgramEnd::OutOfTime,
            Code::E211,
            "`job`: the import test was stopped after 10 minutes while it imported in the workers",
        ),
        (
            "! sh: python3: not found\n",
            ProgramEnd::Exit(Some(127)),
            Code::E211,
            "`job`: the import test ended, with exit code 127\nsh: python3: not found",
        ),
        (
            "{\"no_spark\": {\"type\": \"OSError\", \"message\": \"no java\", \"place\": null}}\n",
            ProgramEnd::Exit(Some(0)),
            Code::E211,
            "`job`: Spark does not start in the image, so that no import was tried\nOSError: no java",
        ),
        (
            "{\"died\": {\"type\": \"a worker\", \"message\": \"crashed\"}, \"at\": [\"jobs.one\"]}\n{\"done\": true}\n",
            ProgramEnd::Exit(Some(0)),
            Code::E210,
            "`job`: 1 of 3 imports fail in the image\njobs.one, in the workers: a worker: crashed",
        ),
    ] {
        let run = with_manifest();
        run.daemon.will_print(output, end);
        let error = tested(&run).err().unwrap();
        assert_eq!((error.code(), error.to_string().as_str()), (code, text));
        assert_eq!(run.project.read("a.yml"), MANIFEST, "{text}");
    }
}
