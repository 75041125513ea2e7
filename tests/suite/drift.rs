//! Bad manifests: each gets a message with its place and a cure, nothing is changed, and nothing outside is asked.

use std::{
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;
use walkdir::WalkDir;

use crate::support::{OLD, Offline, Run, SETTLED, SPARK, program, run, started_by, tree};

/// The time limit for an alias bomb in a debug build on a busy machine; without a bound in the code it would take for
/// ever.
const BOUNDED: Duration = Duration::from_secs(10);

#[test]
fn tabs() {
    let indented = Offline::spark(&format!("spec:\n\timage: {OLD}\n"));
    let behind = Offline::spark(&format!("spec:\n  image: {OLD}\n\tdriver: {{}}\n"));
    let between = Offline::spark(&format!("spec:\n  driver:\n  \timage: {OLD}\r\n"));
    insta::assert_snapshot!(
        [
            indented.refuse("for spaces"),
            behind.refuse("behind a value"),
            between.refuse("after spaces"),
        ]
        .join("\n")
    );
}

#[test]
fn quotes_and_anchors_that_lead_nowhere() {
    let cases = [
        (
            "double",
            format!("spec:\n  image: \"{OLD}\n  mode: cluster\n"),
        ),
        ("single", format!("spec:\n  image: '{OLD}\n---\n{SPARK}")),
        ("an anchor", "spec:\n  image: *nope\n".to_owned()),
        (
            "an anchor of another document",
            format!("x: &nope {OLD}\n---\n{SPARK}spec: {{image: *nope}}\n"),
        ),
        ("a bracket", format!("spec: {{image: {OLD}\n")),
    ];
    let said = cases.map(|(name, spec)| Offline::spark(&spec).refuse(name));
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn no_image_anywhere() {
    let kinds = [
        ("sparkoperator.k8s.io/v1beta2", "SparkApplication"),
        ("sparkoperator.k8s.io/v1beta2", "ScheduledSparkApplication"),
        ("sparkoperator.k8s.io/v1alpha1", "SparkConnect"),
        ("spark.apache.org/v1", "SparkApplication"),
        ("spark.apache.org/v1", "SparkCluster"),
        ("spark.stackable.tech/v1alpha1", "SparkApplication"),
    ];
    let said = kinds.map(|(version, kind)| {
        let text = format!(
            "apiVersion: {version}\nkind: {kind}\nspec:\n  mode: cluster\n  template: {{}}\n"
        );
        let case = Offline::new(&[("kubernetes/job.yml", &text)]);
        case.refuse(&format!("{version} {kind}"))
    });
    insta::assert_snapshot!(said.join("\n"));
}

/// The reference that a hint shows as an example works: it is recognised and rewritten.
#[test]
fn the_example_of_a_reference_works() {
    let shared = "format = 1\nreference = \"{registry}/spark:{image}-{fingerprint}\"\n";
    let cases = [
        ("format = 1\n", "registry.example/small/job:unbuilt"),
        (shared, "registry.example/small/spark:job-unbuilt"),
    ];
    for (configuration, example) in cases {
        let case = Offline::spark("spec:\n  mode: cluster\n");
        case.project
            .edit("sparkpack.toml", "format = 1\n", configuration);
        let said = case.say(&["check"]);
        assert!(
            said.contains(&format!("hint: write `{example}` at `spec.image`")),
            "{said}"
        );
        let manifest = format!("{SPARK}spec:\n  image: {example}\n");
        case.project.write("kubernetes/job.yml", &manifest);
        case.project.succeed(&["pin"]);
        let written = case.project.read("kubernetes/job.yml");
        let written = written.split("image: ").nth(1).unwrap().trim();
        let tags = case.project.succeed(&["tags"]).stdout;
        assert!(
            tags.lines().any(|line| line == written),
            "{written}\n{tags}"
        );
    }
}

#[test]
fn no_application_at_all() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n      - {name: web, image: 'registry.example/other/web:1'}\n";
    let one = Offline::new(&[("kubernetes/web.yml", deployment)]);
    let files: Vec<String> = (1..=5).map(|n| format!("kubernetes/{n}.yml")).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|file| (file.as_str(), "a: 1\n")).collect();
    insta::assert_snapshot!(
        [
            one.refuse("a Deployment"),
            Offline::new(&files).refuse("five files"),
        ]
        .join("\n")
    );
    // A manifest that names an image of the project needs no Spark application.
    let ours = deployment.replace("registry.example/other/web:1", OLD);
    Offline::new(&[("kubernetes/web.yml", &ours)]).pin("a Deployment with our image");
}

#[test]
fn images_of_another_repository() {
    let spec = format!(
        "spec:\n  image: other.example/small/job:1\n  driver:\n    image: {OLD}\n    sidecars:\n    - {{name: near, image: registry.example/small/job-b:old}}\n    - {{name: port, image: 'registry.example:5000/small/job:old'}}\n    - {{name: below, image: registry.example/small/job/x:old}}\n    - {{name: short, image: job}}\n"
    );
    let case = Offline::spark(&spec);
    let said = [
        case.say_only(&["check", "-v"]),
        case.say_only(&["check", "--format", "json"]),
        case.say(&["pin", "-v"]),
    ];
    let ours = |tag: &str| format!("driver:\n    image: registry.example/small/job:{tag}\n");
    let wanted = spec.replace(&ours("old"), &ours(&case.tag("job")));
    assert_eq!(
        case.project.read("kubernetes/job.yml"),
        SPARK.to_owned() + &wanted
    );
    let alone = Offline::spark("spec:\n  image: other.example/small/job:1\n");
    insta::assert_snapshot!([said.concat(), alone.refuse("no other image")].join("\n"));
}

/// Manifests without findings are not read again. Places that are left alone must be reported all the same.
#[test]
fn what_is_left_alone_is_told_every_time() {
    let case = Offline::spark(&format!(
        "spec:\n  image: {OLD}\n  driver: {{image: 'other.example/x:1'}}\n  executor: {{image: \"${{IMAGE}}\"}}\n"
    ));
    case.project.write(
        "kubernetes/side.yml",
        &format!("{SPARK}spec: {{image: registry.example/small/side:x}}\n"),
    );
    case.project.succeed(&["pin"]);
    // The cache keeps what is known of a file only if the file is clearly older than the run that read it.
    std::thread::sleep(SETTLED);
    let skipped = || {
        let json = case.project.succeed(&["check", "--format", "json"]).stdout;
        let document: Value = serde_json::from_str(&json).unwrap();
        document["skipped"].as_array().unwrap().len()
    };
    let told = || {
        let run = case.project.succeed(&["check", "-v"]);
        run.stderr.matches("is left alone").count()
    };
    assert_eq!((skipped(), told()), (2, 2));
    // The first run fills the cache, the second uses it.
    case.project.succeed(&["check"]);
    case.project.succeed(&["check"]);
    assert_eq!((skipped(), told()), (2, 2));
}

#[test]
fn images_that_are_no_strings() {
    let values = [
        "~",
        "",
        "7",
        "1.10",
        "on",
        "2001-12-14",
        "[a, b]",
        "{repository: a, tag: b}",
        "!!binary cmVn",
        "!Ref image",
    ];
    let said = values.map(|value| {
        let spec = format!("spec:\n  image: {value}\n");
        Offline::spark(&spec).refuse(&format!("`{value}`"))
    });
    let several = "spec:\n  image: ~\n  driver: {image: 7}\n  executor:\n    image:\n    - a\n";
    insta::assert_snapshot!(
        [
            said.join("\n"),
            Offline::spark(several).refuse("all of a file"),
        ]
        .join("\n")
    );
}

#[test]
fn keys_that_are_there_twice() {
    let image = format!("spec:\n  image: {OLD}\n  mode: cluster\n  image: {OLD}\n");
    let flow = format!("spec: {{image: {OLD}, \"image\": {OLD}, image: x}}\n");
    let spec = format!("spec:\n  image: {OLD}\nspec:\n  image: {OLD}\n");
    let kind = format!("spec: {{image: {OLD}}}\nkind: ConfigMap\n");
    insta::assert_snapshot!(
        [
            Offline::spark(&image).refuse("image"),
            Offline::spark(&flow).refuse("in flow style"),
            Offline::spark(&spec).refuse("on the way"),
            Offline::spark(&kind).refuse("the kind"),
        ]
        .join("\n")
    );
    // Duplicate keys elsewhere in the manifest are ignored.
    let aside = format!("spec:\n  image: {OLD}\n  labels: 1\n  labels: 2\n");
    Offline::spark(&aside).pin("aside");
}

#[test]
fn values_that_something_else_fills_in() {
    let values = [
        "{{ .Values.image }}",
        "\"{{ .Values.image }}\"",
        "'{{ .Values.repository }}:1'",
        "${IMAGE}",
        "\"${IMAGE}\"",
        "registry.example/small/job:${TAG}",
        "registry.example/small/job:{{ tag }}",
    ];
    let said = values.map(|value| {
        let spec = format!("spec:\n  driver: {{image: {OLD}}}\n  image: {value}\n");
        let case = Offline::spark(&spec);
        let said = case.say(&["pin", "-v"]);
        let wanted = spec.replacen("job:old", &format!("job:{}", case.tag("job")), 1);
        assert_eq!(
            case.project.read("kubernetes/job.yml"),
            SPARK.to_owned() + &wanted
        );
        format!("# `{value}`\n{said}")
    });
    let rendered = Offline::spark(&format!(
        "spec:\n  image: {{{{ registry }}}}/job:{{{{ tag }}}}\n  driver: {{image: {OLD}}}\n"
    ));
    let alone = Offline::spark("spec:\n  image: '{{ .Values.image }}'\n");
    insta::assert_snapshot!(
        [
            said.join("\n"),
            format!(
                "# the whole file\n{}{}",
                rendered.say_only(&["check", "-v"]),
                rendered.say_only(&["check", "--format", "json"])
            ),
            alone.refuse("nothing else"),
        ]
        .join("\n")
    );
}

#[test]
fn anchors_that_are_used_again() {
    let spec = format!(
        "spec:\n  image: &job {OLD}\n  driver:\n    image: *job\n  arguments: [--image, *job]\n"
    );
    let merged = format!(
        "x: &pod\n  image: {OLD}\nspec:\n  driver:\n    <<: *pod\n  executor:\n    <<: *pod\n    cores: 2\n"
    );
    let allowed = Offline::spark(&spec);
    allowed.project.edit(
        "sparkpack.toml",
        "project = \"small\"\n",
        "project = \"small\"\nanchors = [\"kubernetes/j*.yml\"]\n",
    );
    // Without aliases, an anchor is harmless.
    let alone = format!("spec:\n  image: &job {OLD}\n");
    insta::assert_snapshot!(
        [
            Offline::spark(&spec).refuse("without consent"),
            Offline::spark(&merged).refuse("merged"),
            allowed.pin("with consent"),
            Offline::spark(&alone).pin("not used again"),
        ]
        .join("\n")
    );
}

#[test]
fn values_over_several_lines() {
    let edited = [
        ("folded, one line", format!(">-\n    {OLD}\n")),
        ("literal, one line", format!("|\n    {OLD}\n")),
        ("kept line ends", format!("|+\n    {OLD}\n\n")),
        ("on the next line", format!("\n    {OLD}\n")),
        (
            "continued in quotes",
            "\"registry.example/small/\\\n    job:old\"  # kept\n".to_owned(),
        ),
    ];
    let refused = [
        (
            "words behind it",
            "\"registry.example/small/job:old --flag\"\n",
        ),
        (
            "folded, two lines",
            ">-\n    registry.example/small/job:old\n    --flag\n",
        ),
        (
            "an empty line before",
            "|\n\n    registry.example/small/job:old\n\n",
        ),
    ];
    let edited = edited.map(|(name, value)| {
        let case = Offline::spark(&format!("spec:\n  image: {value}  mode: cluster\n"));
        case.pin(name)
    });
    let refused = refused.map(|(name, value)| {
        let spec = format!("spec:\n  image: {value}  mode: cluster\n  driver: {{image: {OLD}}}\n");
        let case = Offline::spark(&spec);
        let said = case.say_only(&["check"]);
        case.say(&["pin"]);
        let tag = case.tag("job");
        let wanted = spec.replace(
            &format!("driver: {{image: {OLD}}}"),
            &format!("driver: {{image: registry.example/small/job:{tag}}}"),
        );
        assert_eq!(
            case.project.read("kubernetes/job.yml"),
            SPARK.to_owned() + &wanted
        );
        assert_eq!(
            case.project.run(&["check"]).code,
            1,
            "it is still not current"
        );
        format!("# {name}\n{said}")
    });
    insta::assert_snapshot!([edited.join("\n"), refused.join("\n")].join("\n"));
}

#[test]
fn the_same_image_at_every_place() {
    let spec = |indent: &str| {
        let text = format!(
            "image: {OLD}
driver:
  image: {OLD}
  initContainers:
  - {{name: a, image: {OLD}}}
  sidecars:
  - {{name: b, image: {OLD}}}
  template: {{spec: {{containers: [{{name: c, image: {OLD}}}]}}}}
executor:
  image: {OLD}
sparkConf:
  spark.kubernetes.container.image: {OLD}
volumes:
- {{name: d, image: {{reference: {OLD}}}}}
- {{name: e, rbd: {{image: {OLD}}}}}
"
        );
        text.lines()
            .map(|line| format!("{indent}{line}\n"))
            .collect::<Vec<_>>()
            .concat()
    };
    let scheduled = SPARK.replace("kind: ", "kind: Scheduled");
    let texts = [
        (
            "kubernetes/job.yml",
            format!("{SPARK}spec:\n{}", spec("  ")),
        ),
        (
            "kubernetes/scheduled.yml",
            format!("{scheduled}spec:\n  template:\n{}", spec("    ")),
        ),
    ];
    let case = Offline::new(&[(texts[0].0, &texts[0].1), (texts[1].0, &texts[1].1)]);
    let said = case.say_only(&["check"]) + &case.say(&["pin"]);
    let tag = case.tag("job");
    for (file, text) in &texts {
        let wanted = text.replace(OLD, &format!("registry.example/small/job:{tag}"));
        let rbd = |tag: &str| format!("rbd: {{image: registry.example/small/job:{tag}}}");
        let wanted = wanted.replace(&rbd(&tag), &rbd("old"));
        assert_eq!(case.project.read(file), wanted);
    }
    insta::assert_snapshot!(said);
}

#[test]
fn every_form_of_a_reference() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let forms = [
        "registry.example/small/job".to_owned(),
        OLD.to_owned(),
        format!("registry.example/small/job@{digest}"),
        format!("{OLD}@{digest}"),
        format!("\"{OLD}@{digest}\""),
        "'registry.example/small/job'".to_owned(),
        "registry.example/small/job:latest".to_owned(),
    ];
    for form in forms {
        let spec = format!("spec:\n  image: {form} # c\n");
        let case = Offline::spark(&spec);
        let check = case.say_only(&["check"]);
        assert!(
            check.contains("error[E100]: 1 place") && check.ends_with("exit 1\n"),
            "{check}"
        );
        case.project.succeed(&["pin"]);
        let quote = form.chars().next().filter(|first| "'\"".contains(*first));
        let quote = quote.map_or_else(String::new, |quote| quote.to_string());
        assert_eq!(
            case.project.read("kubernetes/job.yml"),
            format!(
                "{SPARK}spec:\n  image: {quote}registry.example/small/job:{}{quote} # c\n",
                case.tag("job")
            ),
            "{form}"
        );
        let again = case.say_only(&["pin"]);
        assert!(
            again.ends_with("exit 0\n") && !again.contains("is now"),
            "{again}"
        );
    }
    // A colon with nothing after it, which YAML reads as a key.
    let colon = Offline::spark("spec:\n  image: registry.example/small/job:\n  mode: cluster\n");
    insta::assert_snapshot!(colon.refuse("a tag that is missing"));
}

/// The colon before a registry's port must not be taken for the one before a tag.
#[test]
fn a_port_is_no_tag() {
    for form in ["127.0.0.1:5000/small/job", "127.0.0.1:5000/small/job:old"] {
        let case = Offline::spark(&format!("spec:\n  image: {form}\n"));
        case.project.edit(
            "sparkpack.toml",
            "\"registry.example/small\"",
            "\"127.0.0.1:5000/small\"",
        );
        case.project.succeed(&["pin"]);
        assert_eq!(
            case.project.read("kubernetes/job.yml"),
            format!(
                "{SPARK}spec:\n  image: 127.0.0.1:5000/small/job:{}\n",
                case.tag("job")
            )
        );
    }
}

#[test]
fn bombs_are_bounded() {
    let bomb = |line: &dyn Fn(usize, &str) -> String| {
        let levels = (1..300).map(|level| {
            let below = [format!("*a{}", level - 1).as_str(); 9].join(",");
            line(level, &below)
        });
        levels.collect::<String>()
    };
    let lists = bomb(&|level, below| format!("a{level}: &a{level} [{below}]\n"));
    let merges = bomb(&|level, below| format!("a{level}: &a{level} {{<<: [{below}]}}\n"));
    let begun = Instant::now();
    let case = Offline::spark(&format!(
        "a0: &a0 [x]\n{lists}spec:\n  image: {OLD}\n  driver: *a299\n  volumes: *a299\n"
    ));
    case.project.succeed(&["pin"]);
    case.project.succeed(&["check"]);
    let refused = [
        Offline::spark(&format!(
            "a0: &a0 {{image: {OLD}}}\n{merges}spec:\n  driver: *a299\n"
        ))
        .refuse("merges"),
        Offline::spark(&format!("spec: {}\n", "[".repeat(100_000))).refuse("open brackets"),
        Offline::spark(&format!(
            "spec: {}{}\n",
            "{a: ".repeat(100_000),
            "}".repeat(100_000)
        ))
        .refuse("closed brackets"),
        Offline::spark(&format!(
            "spec:\n{}",
            (1..3_000)
                .map(|n| format!("{}a:\n", " ".repeat(n)))
                .collect::<Vec<_>>()
                .concat()
        ))
        .refuse("indentation"),
    ];
    assert!(begun.elapsed() < BOUNDED, "{:?}", begun.elapsed());
    insta::assert_snapshot!(refused.join("\n"));
}

/// `tests/manifests` has many more cases.
#[test]
fn everything_else_stays_to_the_byte() {
    let text = format!(
        "\u{feff}# first\r\n--- # one\r\n{}spec:  \n  image:   {OLD}  # c\t \r\n...\n# between \n---\r\n\r\n---\n{SPARK}spec: {{image: {OLD} }} \n...\n...\n---\n{SPARK}spec:\n- \n---\n{SPARK}spec:\n  image:\t\"{OLD}\"",
        SPARK.replace('\n', "\r\n")
    );
    let case = Offline::new(&[("kubernetes/job.yml", &text)]);
    case.project.succeed(&["pin"]);
    let wanted = text.replace("job:old", &format!("job:{}", case.tag("job")));
    assert_eq!(case.project.read("kubernetes/job.yml"), wanted);
    case.say_only(&["pin"]);
}

/// The module `killed` tests a file that is replaced during the run, and a read-only one among five.
#[test]
fn links_are_followed_and_kept() {
    let text = format!("{SPARK}spec:\n  image: {OLD}\n");
    let case = Offline::new(&[
        ("shared/job.yml", &text),
        ("kubernetes/plain.yml", &text),
        ("../outside/job.yml", &text),
    ]);
    let root = case.project.root();
    symlink("../shared/job.yml", root.join("kubernetes/link.yml")).unwrap();
    symlink("link.yml", root.join("kubernetes/second.yml")).unwrap();
    symlink("../../outside/job.yml", root.join("kubernetes/outside.yml")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o640);
    fs_err::set_permissions(root.join("shared/job.yml"), mode).unwrap();
    let before = tree(&root);
    let said = case.say(&["pin"]);
    let after = tree(&root);
    let changed: Vec<&PathBuf> = after
        .iter()
        .filter(|(path, kept)| before.get(*path) != Some(kept))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(
        changed,
        ["kubernetes/plain.yml", "shared/job.yml"].map(Path::new)
    );
    assert_eq!(after.len(), before.len());
    assert_eq!(
        after[Path::new("shared/job.yml")].mode & 0o777,
        0o640,
        "{said}"
    );
    let wanted = text.replace("job:old", &format!("job:{}", case.tag("job")));
    for file in ["kubernetes/second.yml", "../outside/job.yml"] {
        assert_eq!(case.project.read(file), wanted, "{file}");
    }

    // A hard link keeps the old text, and a warning says so.
    let twin = case.project.home().join("twin.yml");
    case.project.write("kubernetes/plain.yml", &text);
    fs_err::hard_link(root.join("kubernetes/plain.yml"), &twin).unwrap();
    let said = said + &case.say(&["pin"]);
    assert_eq!(fs_err::read_to_string(twin).unwrap(), text);
    insta::assert_snapshot!(said);
}

#[test]
fn files_that_may_not_be_read_or_written() {
    let text = format!("{SPARK}spec:\n  image: {OLD}\n");
    let case = Offline::new(&[("kubernetes/a.yml", &text), ("kubernetes/b.yml", &text)]);
    let folder = case.project.root().parent().unwrap().to_owned();
    let is_root = program("id", &["-u"]).trim() == "0";
    if is_root {
        for entry in WalkDir::new(&folder).into_iter().map(Result::unwrap) {
            chown(entry.path(), Some(65534), Some(65534)).unwrap();
        }
    }
    let file = case.project.root().join("kubernetes/b.yml");
    let said = [("read-only", 0o444), ("unreadable", 0o000)].map(|(name, mode)| {
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let before = tree(&case.project.root());
        let said = ["check", "pin"].map(|verb| {
            let own = case.project.command(&[verb]);
            // Root may read and write everywhere, so the command runs as another user.
            let mut command = if is_root {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
                command.arg(own.get_program()).arg(verb);
                command.current_dir(case.project.root());
                command.env("HOME", case.project.home());
                command.env("SPARKPACK_CACHE", folder.join("cache"));
                command.env_remove("CI");
                command
            } else {
                own
            };
            let run = run(&mut command);
            let stderr = run
                .stderr
                .replace(case.project.root().to_str().unwrap(), "PROJECT");
            format!("$ sparkpack {verb}\n{stderr}exit {}\n", run.code)
        });
        assert_eq!(tree(&case.project.root()), before, "{name}");
        format!("# {name}\n{}", said.concat())
    });
    insta::assert_snapshot!(said.join("\n"));
}

/// Files that are not text, have another encoding, or are no files.
#[test]
fn files_that_are_no_text() {
    let said = [
        ("Latin-1", b"a: 1\nb: caf\xe9\n".as_slice()),
        ("UTF-16", b"\xff\xfea\0:\0 \x001\0\n\0"),
        ("a null byte", b"a: 1\nb: \0\n"),
        ("an archive", b"\x1f\x8b\x08\x00\x00\x00\x00\x00"),
    ]
    .map(|(name, bytes)| {
        let case = Offline::spark(&format!("spec:\n  image: {OLD}\n"));
        let odd = case.project.root().join("kubernetes/odd.yml");
        fs_err::write(&odd, bytes).unwrap();
        let check = case.say_only(&["check", "--quiet"]);
        let pin = case.say(&["pin"]);
        // The others are done all the same.
        assert!(!case.project.read("kubernetes/job.yml").contains(OLD));
        assert_eq!(fs_err::read(&odd).unwrap(), bytes);
        format!("# {name}\n{check}{pin}")
    });
    insta::assert_snapshot!(said.join("\n"));
    // No command may block on a FIFO.
    let case = Offline::spark(&format!("spec:\n  image: {OLD}\n"));
    let pipe = case.project.root().join("kubernetes/pipe.yml");
    program("mkfifo", &[pipe.to_str().unwrap()]);
    fs_err::create_dir(case.project.root().join("kubernetes/folder.yml")).unwrap();
    let mut pin = case.project.command(&["pin"]).spawn().unwrap();
    let begun = Instant::now();
    while pin.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_mins(1) {
            pin.kill().unwrap();
            panic!("it waits for a pipe");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(pin.wait().unwrap().success());
}

/// The CPU seconds of a run on this text: what else the machine does counts little in them.
fn seconds(case: &Offline, text: &str, arguments: &[&str]) -> (f64, Run) {
    case.project.write("kubernetes/many.yml", text);
    let plain = case.project.command(arguments);
    let mut timed = Command::new("bash");
    timed.args(["-c", "TIMEFORMAT=%U; time \"$0\" \"$@\" 2>/dev/null"]);
    let ran = run(started_by(&mut timed, &plain).env("LC_ALL", "C"));
    (ran.stderr.trim().parse().unwrap(), ran)
}

/// Runs on a tenth of the text and on all of it, which takes about ten times the CPU: nothing is done for each pair.
fn grows_with_the_text(case: &Offline, tenth: &str, whole: &str, arguments: &[&str]) -> Run {
    let (few, _) = seconds(case, tenth, arguments);
    let (many, ran) = seconds(case, whole, arguments);
    assert!(
        many <= 30.0 * few.max(0.1),
        "{arguments:?}: {few} s for a tenth, {many} s for all"
    );
    ran
}

#[test]
fn large_files_take_time_by_their_length() {
    let many = |count: usize| {
        let document = |number| {
            format!("---\n{SPARK}metadata: {{name: job-{number}}}\nspec:\n  image: {OLD}\n")
        };
        (0..count).map(document).collect::<String>()
    };
    let case = Offline::new(&[("kubernetes/many.yml", "")]);
    let documents = many(10_000);
    let arguments = ["check", "--quiet", "--format", "github"];
    let check = grows_with_the_text(&case, &many(1_000), &documents, &arguments);
    assert_eq!((check.code, check.stdout.lines().count()), (1, 10_001));
    let pins = |tenth: &str, whole: &str| {
        let ran = grows_with_the_text(&case, tenth, whole, &["pin", "--quiet"]);
        assert_eq!(ran.code, 0);
        let wanted = whole.replace("job:old", &format!("job:{}", case.tag("job")));
        assert!(case.project.read("kubernetes/many.yml") == wanted);
    };
    pins(&many(1_000), &documents);

    // Each key of a mapping that names an image may belong to it: all are looked at once.
    let flat = |count: usize| {
        let keys = (0..count).map(|number| format!("key-{number}: value\n"));
        format!("{}image: {OLD}\n", keys.collect::<String>())
    };
    pins(&flat(5_000), &flat(50_000));

    let filler = (0..60).map(|line| {
        format!(
            "  # {}\n  conf{line}: {{a.b.c: '1', d.e.f: \"2\"}}\n",
            "x".repeat(90)
        )
    });
    let filler: String = filler.collect();
    let unit = |number: usize| {
        format!("---\n{SPARK}metadata: {{name: job-{number}}}\nspec:\n{filler}  image: {OLD}\n")
    };
    let count = 50_000_000 / unit(0).len() + 1;
    let large: String = (0..count).map(unit).collect();
    assert!(large.len() > 50_000_000);
    pins(&(0..count / 10).map(unit).collect::<String>(), &large);
}

/// The listeners of these tests are where sparkpack would connect to.
#[test]
fn a_push_would_be_noticed() {
    let case = Offline::spark(&format!("spec:\n  image: {OLD}\n"));
    let mut push = case.project.command(&["push"]).spawn().unwrap();
    let begun = Instant::now();
    while !case.was_asked() {
        assert!(begun.elapsed() < Duration::from_mins(1), "nobody was asked");
        std::thread::sleep(Duration::from_millis(10));
    }
    push.kill().unwrap();
    push.wait().unwrap();
}
