//! Twelve secrets that a machine may have, where sparkpack and its programs meet them: none is printed at `-vvv`, kept, put into
//! an image, given to a program as an argument, or sent to a host that it is not for.

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::support::{
    Chain, FaultProxy, PASSWORD, Registry, Run, TestProject, USER, count, docker, give_variables,
    planted, run, started_by,
};

/// What each is, and how it would be found. The first two sign in to a registry each.
const CANARIES: [(&str, &str); 12] = [
    (
        "the password of a registry, in docker's configuration",
        PASSWORD,
    ),
    (
        "the password of another registry, from a helper",
        "helped-4f9a1c",
    ),
    ("an identity token of a third registry", "token-8c21d7"),
    ("the password of a proxy", "proxied-1b77e0"),
    ("the password of a package index", "indexed-93ab5d"),
    ("the token in the URL of git's remote", "remote-5d02be"),
    ("a service account of the cloud", "account-c7710f"),
    ("a variable in .env", "dotenv-28e4aa"),
    ("a password in .netrc", "netrc-e6015c"),
    ("the token of a Kubernetes cluster", "cluster-7af3b9"),
    ("an SSH key", "sshkey-0b8d46"),
    ("a secret of a step", "stepped-d159f2"),
];

fn canary(number: usize) -> &'static str {
    CANARIES[number].1
}

fn sign_in(password: &str) -> String {
    STANDARD.encode(format!("{USER}:{password}"))
}

/// Those of the canaries that are in a text.
fn found(text: &[u8], place: &str) -> Vec<String> {
    planted::found(&CANARIES, USER, text, place)
}

/// The same of all files below a folder, unpacked where they are gzip. Paths that end with one of `left_out` are those in
/// which the test has put them.
fn found_below(folder: &Path, left_out: &[&str]) -> Vec<String> {
    let all = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap);
    let mut told = Vec::new();
    for entry in all.filter(|entry| entry.file_type().is_file()) {
        let path = entry.path().display().to_string();
        if left_out.iter().any(|end| path.ends_with(end)) {
            continue;
        }
        let bytes = fs_err::read(entry.path()).unwrap();
        told.extend(planted::found_in_file(&CANARIES, USER, &bytes, &path));
    }
    told
}

/// The files outside of the project in which the canaries are.
const PLANTED: [&str; 7] = [
    ".docker/config.json",
    "bin/docker-credential-canary",
    ".config/gcloud/application_default_credentials.json",
    "home/.netrc",
    ".kube/config",
    ".ssh/id_ed25519",
    "home/step-secret",
];

/// A machine with all canaries.
struct Machine {
    chain: Chain,
    prod: Registry,
    /// Before the registry of the chain, and before the other one.
    proxies: [FaultProxy; 2],
}

impl Machine {
    fn new() -> Self {
        let chain = Chain::with_registry("canaries").with_job_of_files();
        let prod = Registry::with_password(USER, canary(1));
        let proxies = [
            FaultProxy::before(&chain.host),
            FaultProxy::before(&prod.host()),
        ];
        let project = &chain.project;
        let [dev, other] = [&proxies[0], &proxies[1]].map(FaultProxy::host);
        project.edit(
            "sparkpack.toml",
            &format!("registries.main = \"{}/small\"\n", chain.host),
            &format!("registries.main = \"{dev}/small\"\nregistries.prod = \"{other}/small\"\n"),
        );
        let manifest = project
            .read("kubernetes/nightly.yml")
            .replace(&chain.host, &dev);
        project.write("kubernetes/nightly.yml", &manifest);
        project.edit(
            "docker/side/Dockerfile",
            "COPY docker/side/side.txt /opt/\n",
            "COPY --from=shell /done /opt/\n",
        );
        let step = "FROM debian:bookworm-slim AS shell\nRUN --mount=type=secret,id=step,required=true test -s /run/secrets/step && cat /run/secrets/step && date > /done\n";
        let side = project.read("docker/side/Dockerfile");
        project.write("docker/side/Dockerfile", &format!("{step}{side}"));
        let head = "[images.side]\n";
        let secret = format!("{head}secrets.step = {{ file = \"~/step-secret\" }}\n");
        project.edit("sparkpack.toml", head, &secret);
        let made = Self {
            chain,
            prod,
            proxies,
        };
        made.plant(&dev, &other);
        made
    }

    fn plant(&self, dev: &str, other: &str) {
        let project = &self.chain.project;
        let home = project.home();
        let put = |path: &str, text: &str| {
            let file = home.join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, text).unwrap();
        };
        let auth = sign_in(PASSWORD);
        let helpers = format!("{{\"{other}\": \"canary\"}}");
        let token = canary(2);
        put(
            ".docker/config.json",
            &format!(
                "{{\"auths\": {{\"{dev}\": {{\"auth\": \"{auth}\"}}, \"third.example\": {{\"identitytoken\": \"{token}\"}}}}, \"credHelpers\": {helpers}}}"
            ),
        );
        let helper = format!(
            "#!/bin/sh\ncat >/dev/null\necho '{{\"Username\": \"{USER}\", \"Secret\": \"{}\"}}'\n",
            canary(1)
        );
        put("bin/docker-credential-canary", &helper);
        let helper = home.join("bin/docker-credential-canary");
        fs_err::set_permissions(helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        let account = format!(
            "{{\"type\": \"service_account\", \"private_key\": \"{}\"}}\n",
            canary(6)
        );
        put(
            ".config/gcloud/application_default_credentials.json",
            &account,
        );
        put(
            ".netrc",
            &format!("machine git.example login x password {}\n", canary(8)),
        );
        put(
            ".kube/config",
            &format!("users: [{{name: a, user: {{token: {}}}}}]\n", canary(9)),
        );
        put(".ssh/id_ed25519", canary(10));
        put("step-secret", canary(11));
        project.write(".env", &format!("DB_PASSWORD={}\n", canary(7)));
        project.begin_git();
        let remote = format!("https://x:{}@git.example/team/small.git", canary(5));
        project.git(&["remote", "add", "origin", &remote]);
    }

    /// A command on this machine.
    fn command(&self, arguments: &[&str]) -> Command {
        let home = self.chain.project.home();
        let path = std::env::var("PATH").unwrap();
        let mut command = self.chain.project.command(arguments);
        command
            .env("PATH", format!("{}:{path}", home.join("bin").display()))
            .env("HTTPS_PROXY", format!("http://u:{}@127.0.0.1:9", canary(3)))
            .env("NO_PROXY", "127.0.0.1")
            .env(
                "PIP_INDEX_URL",
                format!("http://u:{}@127.0.0.1:9/simple", canary(4)),
            )
            .env(
                "UV_INDEX_URL",
                format!("http://u:{}@127.0.0.1:9/simple", canary(4)),
            );
        command
    }
}

#[test]
fn twelve_secrets_of_a_machine_stay_where_they_are() {
    let made = Machine::new();
    let project = &made.chain.project;
    let mut told = Vec::new();
    let verbs: [&[&str]; 15] = [
        &["lock"],
        &["tags"],
        &["plan"],
        &["package"],
        &["build"],
        &["plan", "--remote", "--registry", "main"],
        &["push", "--dry-run", "--registry", "main"],
        &["push", "--registry", "main"],
        &["promote", "--registry", "main", "--to", "prod"],
        &["verify", "job", "--registry", "main"],
        &["check", "--remote"],
        &["pin"],
        &["why", "job", "--registry", "main"],
        &["doctor"],
        &["init", "--dry-run"],
    ];
    for verb in verbs {
        let loud = [verb, &["-vvv"]].concat();
        let trace = project.home().join("trace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-s", "65536", "-e", "trace=execve", "-o"]);
        strace.arg(&trace);
        let own = made.command(&loud);
        give_variables(&own, &mut strace);
        let run = run(started_by(&mut strace, &own));
        // A cluster of another machine and a name that is nowhere are mistakes of this one, which doctor tells.
        let may_fail = ["doctor", "init"].contains(&verb[0]);
        assert!(run.code == 0 || may_fail, "{verb:?}: {}", run.stderr);
        told.extend(found(
            run.stdout.as_bytes(),
            &format!("what {verb:?} prints"),
        ));
        told.extend(found(run.stderr.as_bytes(), &format!("what {verb:?} says")));
        let started = fs_err::read(&trace).unwrap();
        told.extend(found(
            &started,
            &format!("the arguments of programs of {verb:?}"),
        ));
        fs_err::remove_file(&trace).unwrap();
    }
    let root = project.root();
    told.extend(found_below(&root, &["/.env", "/.git/config"]));
    told.extend(found_below(project.cache(), &[]));
    told.extend(found_below(&project.home(), &PLANTED));
    for storage in [made.chain.registry().storage(), made.prod.storage()] {
        told.extend(found_below(&storage, &[]));
    }
    let saved = tempfile::tempdir().unwrap();
    for image in ["base", "ds", "side", "job"] {
        let reference = run(&mut made.command(&["tags", "--registry", "main", image])).stdout;
        let reference = reference.trim();
        told.extend(found(
            docker(&["history", "--no-trunc", reference]).as_bytes(),
            reference,
        ));
        let file = saved.path().join(image);
        docker(&["save", "--output", file.to_str().unwrap(), reference]);
    }
    told.extend(found_below(saved.path(), &[]));
    // Each registry got its own password and nothing else.
    for (proxy, password) in made.proxies.iter().zip([PASSWORD, canary(1)]) {
        let sent = proxy.asked();
        let mut sent: Vec<&str> = sent
            .iter()
            .filter_map(|asked| asked.header("authorization"))
            .collect();
        sent.sort_unstable();
        sent.dedup();
        assert_eq!(sent, [format!("Basic {}", sign_in(password))]);
    }
    told.sort();
    told.dedup();
    // What is planted is found where it is, so that it would be found elsewhere.
    let planted = [found_below(&project.home(), &[]), found_below(&root, &[])].concat();
    for (number, (what, _)) in CANARIES.iter().enumerate() {
        // Those two are in variables.
        let is_there =
            [3, 4].contains(&number) || planted.iter().any(|line| line.starts_with(what));
        assert!(is_there, "{what}");
    }
    count(
        "P31",
        "secrets of a machine through all verbs at -vvv",
        CANARIES.len(),
        &told,
    );
}

/// What the test script looks for in the whole suite: this is a run that leaks in each of the ways.
#[test]
fn a_secret_is_found_wherever_a_run_leaves_it() {
    let project = TestProject::new(&[("pod.yml", "")]);
    project.git(&["init", "--quiet"]);
    let mut shell = Command::new("sh");
    let script = "cat ~/.netrc; echo \"$PIP_EXTRA_INDEX_URL\" >&2; cp ~/.pypirc pod.yml; mkdir -p ../cache; \
                  gzip <~/.ssh/id_ed25519 >../cache/layer; cat ~/.docker/config.json; cat .git/config ../.env >&2; \
                  bin=~/bin/docker-credential-canary; true | $bin; cat ~/.kube/config; cat ~/.config/gcloud/*.json; echo \"$HTTPS_PROXY\"";
    started_by(shell.args(["-c", script]), &project.command(&[]));
    planted::plant(&mut shell, &project.root(), &project.home());
    // This machine may have such variables of its own.
    let own = ["HTTPS_PROXY", "PIP_EXTRA_INDEX_URL"].map(|name| std::env::var_os(name).is_some());
    let output = shell.output().unwrap();
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    let done = Run {
        code: 0,
        stdout,
        stderr,
    };
    assert!(output.status.success(), "{}", done.stderr);
    let leaks = planted::leaks(&shell, &done).unwrap();
    let lacking = own.iter().filter(|is_own| **is_own).count();
    assert_eq!(leaks.len(), 12 - lacking, "{leaks:#?}\n{}", done.stderr);
    let in_files = leaks
        .iter()
        .filter(|leak| leak.ends_with("/pod.yml") || leak.ends_with("/layer"));
    assert_eq!(in_files.count(), 2, "{leaks:#?}");
}
