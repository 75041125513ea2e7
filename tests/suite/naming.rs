//! References: their meaning, and which are refused. docker and skopeo agree with the same table.

use std::process::Command;

use sparkpack::image::Reference;

const DIGEST: &str = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";

/// Registry, path, tag, and whether there is a digest; `None` if it is not a reference.
type Parts = (&'static str, &'static str, Option<&'static str>, bool);

const fn hub(path: &'static str) -> Parts {
    ("docker.io", path, None, false)
}

const fn at(registry: &'static str, path: &'static str) -> Parts {
    (registry, path, None, false)
}

const fn tagged(registry: &'static str, path: &'static str, tag: &'static str) -> Parts {
    (registry, path, Some(tag), false)
}

/// `D` stands for a digest, `T` for a tag of 128 letters, `P` for a path of 200.
const TABLE: [(&str, Option<Parts>); 70] = [
    ("debian", Some(hub("library/debian"))),
    (
        "debian:12",
        Some(tagged("docker.io", "library/debian", "12")),
    ),
    ("apache/spark", Some(hub("apache/spark"))),
    ("a/b/c", Some(hub("a/b/c"))),
    ("docker.io/debian", Some(hub("library/debian"))),
    ("docker.io/library/debian", Some(hub("library/debian"))),
    (
        "index.docker.io/debian:1",
        Some(tagged("docker.io", "library/debian", "1")),
    ),
    ("index.docker.io/a/b", Some(hub("a/b"))),
    ("localhost/a", Some(at("localhost", "a"))),
    ("localhost/a/b/c/d", Some(at("localhost", "a/b/c/d"))),
    ("localhost:5000/a", Some(at("localhost:5000", "a"))),
    (
        "localhost:5000",
        Some(tagged("docker.io", "library/localhost", "5000")),
    ),
    ("localhosts/a", Some(hub("localhosts/a"))),
    ("reg.example/a", Some(at("reg.example", "a"))),
    (
        "reg.example:443/a/b:1",
        Some(tagged("reg.example:443", "a/b", "1")),
    ),
    ("reg:1/a", Some(at("reg:1", "a"))),
    ("reg:65535/a", Some(at("reg:65535", "a"))),
    (
        "reg.example/a/b/c/d/e/f/g/h",
        Some(at("reg.example", "a/b/c/d/e/f/g/h")),
    ),
    ("REG.Example/a", Some(at("REG.Example", "a"))),
    ("127.0.0.1/a", Some(at("127.0.0.1", "a"))),
    (
        "127.0.0.1:5000/penguins/job:unbuilt",
        Some(tagged("127.0.0.1:5000", "penguins/job", "unbuilt")),
    ),
    (
        "xn--bcher-kva.example/a",
        Some(at("xn--bcher-kva.example", "a")),
    ),
    ("a-b.example/c", Some(at("a-b.example", "c"))),
    ("reg.example/a_b", Some(at("reg.example", "a_b"))),
    ("reg.example/a__b", Some(at("reg.example", "a__b"))),
    ("reg.example/a.b", Some(at("reg.example", "a.b"))),
    ("reg.example/a-b", Some(at("reg.example", "a-b"))),
    ("reg.example/a----b", Some(at("reg.example", "a----b"))),
    ("reg.example/0/9", Some(at("reg.example", "0/9"))),
    (
        "reg.example/a:latest",
        Some(tagged("reg.example", "a", "latest")),
    ),
    ("reg.example/a:_x", Some(tagged("reg.example", "a", "_x"))),
    (
        "reg.example/a:A.B_c-1",
        Some(tagged("reg.example", "a", "A.B_c-1")),
    ),
    ("reg.example/a:T", Some(tagged("reg.example", "a", "T"))),
    ("reg.example/P", Some(at("reg.example", "P"))),
    ("reg.example/a@D", Some(("reg.example", "a", None, true))),
    (
        "reg.example:1/a:b@D",
        Some(("reg.example:1", "a", Some("b"), true)),
    ),
    (
        "debian@D",
        Some(("docker.io", "library/debian", None, true)),
    ),
    ("[::1]/a", Some(at("[::1]", "a"))),
    ("[::1]:5000/a:b", Some(tagged("[::1]:5000", "a", "b"))),
    (
        "[2001:db8::1]:5000/a/b@D",
        Some(("[2001:db8::1]:5000", "a/b", None, true)),
    ),
    ("Team/job", Some(at("Team", "job"))),
    ("", None),
    (" debian", None),
    ("debian ", None),
    ("a b", None),
    ("-a", None),
    ("a-", None),
    ("a/", None),
    ("/a", None),
    ("a//b", None),
    ("a___b", None),
    ("a_-b", None),
    ("a..b", None),
    (".a/b", None),
    ("a:", None),
    ("a:b:c", None),
    ("a:-b", None),
    ("a:.b", None),
    ("a:b+c", None),
    ("a:Tx", None),
    ("Debian", None),
    ("reg.example/Team/job", None),
    ("reg.example/é", None),
    ("reg%a.example/b", None),
    ("-reg.example/b", None),
    ("reg.example:/a", None),
    ("reg.example:+80/a", None),
    ("a@sha256:12", None),
    ("@D", None),
    (
        "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        None,
    ),
];

/// References that sparkpack refuses but docker accepts, or that docker's versions disagree about.
const OURS: [(&str, &str, Option<Parts>); 9] = [
    ("reg.example:65536/a", "there is no such port", None),
    ("[::1::2]/a", "there is no such address", None),
    (
        "a@sha512:D",
        "nothing else uses another algorithm than SHA-256",
        None,
    ),
    (
        "http://reg.example/a",
        "a hint says to leave the scheme out",
        None,
    ),
    ("user:secret@reg.example/a", "a hint says to sign in", None),
    (
        "reg_a.example/b",
        "docker takes it, and then has no registry to ask",
        None,
    ),
    (
        "[::1]/a",
        "docker knows addresses since 24",
        Some(at("[::1]", "a")),
    ),
    (
        "[::1]:5000/a:b",
        "docker knows addresses since 24",
        Some(tagged("[::1]:5000", "a", "b")),
    ),
    (
        "Team/job",
        "docker takes upper case for a host since 24",
        Some(at("Team", "job")),
    ),
];

fn written_out(text: &str) -> String {
    let text = text.replace('D', if text.starts_with('D') { "D" } else { DIGEST });
    let text = text.replace(":Tx", &format!(":{}", "t".repeat(129)));
    let text = text.replace(":T", &format!(":{}", "t".repeat(128)));
    text.replace("/P", &format!("/{}", "p".repeat(200)))
}

fn parts_of(text: &str) -> Option<(String, String, Option<String>, bool)> {
    let Reference {
        repository,
        tag,
        digest,
    } = text.parse().ok()?;
    Some((repository.registry, repository.path, tag, digest.is_some()))
}

#[test]
fn a_reference_has_the_parts_that_the_distribution_grammar_gives_it() {
    let ours = OURS.iter().map(|(text, _, parts)| (text, parts));
    for (text, wanted) in TABLE.iter().map(|(text, parts)| (text, parts)).chain(ours) {
        let wanted = wanted.map(|(registry, path, tag, digest)| {
            let path = written_out(&format!("/{path}"))[1..].to_owned();
            let tag = tag.map(|tag| written_out(&format!(":{tag}"))[1..].to_owned());
            (registry.to_owned(), path, tag, digest)
        });
        assert_eq!(parts_of(&written_out(text)), wanted, "{text}");
    }
    let too_long = format!("reg.example/{}", "p".repeat(256));
    assert_eq!(parts_of(&too_long), None);
}

/// No image is needed for the comparison: docker parses the name before it misses the source, and skopeo before it
/// misses the network, naming the registry that it cannot reach.
#[test]
fn docker_and_skopeo_read_the_same() {
    for (text, parts) in asked() {
        let text = written_out(text);
        assert_eq!(docker_takes(&text), parts.is_some(), "docker and {text}");
        let registry = skopeo_asks(&text);
        let wanted = parts.map(|(registry, ..)| match registry {
            "docker.io" => "registry-1.docker.io".to_owned(),
            other => other.to_owned(),
        });
        assert_eq!(registry, wanted, "skopeo and {text}");
    }
}

fn asked() -> impl Iterator<Item = (&'static str, Option<Parts>)> {
    let differs = |text: &str| OURS.iter().any(|(ours, _, _)| *ours == text);
    // Only newer versions of docker accept upper-case host names and IPv6 addresses.
    TABLE
        .into_iter()
        .filter(move |(text, _)| !differs(text) && !text.starts_with(['[']))
}

fn docker_takes(text: &str) -> bool {
    let said = said_by("docker", &["tag", "sparkpack-test/nothing:nothing", text]);
    let missed = said.contains("No such image: sparkpack-test/nothing");
    let has_digest = said.contains("refusing to create a tag with a digest reference");
    let refused = REFUSALS.iter().any(|words| said.contains(words));
    assert!(missed || has_digest || refused, "{text}: {said}");
    !refused
}

/// The registry that skopeo would ask, without a network.
fn skopeo_asks(text: &str) -> Option<String> {
    // skopeo accepts no tag together with a digest.
    let text = match text.split_once('@') {
        Some((name, digest)) => match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => format!("{name}@{digest}"),
            _ => text.to_owned(),
        },
        None => text.to_owned(),
    };
    let url = format!("docker://{text}");
    let said = said_by("unshare", &["--net", "skopeo", "inspect", "--raw", &url]);
    if REFUSALS.iter().any(|words| said.contains(words)) {
        return None;
    }
    let asked = said
        .split_once("pinging container registry ")
        .map(|(_, rest)| rest);
    let (registry, _) = asked
        .and_then(|rest| rest.split_once(": "))
        .unwrap_or_else(|| panic!("{text}: {said}"));
    Some(registry.to_owned())
}

const REFUSALS: [&str; 3] = [
    "invalid reference format",
    "cannot specify 64-byte hexadecimal strings",
    "invalid checksum digest",
];

/// The message of a program that has to fail.
fn said_by(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(name).args(arguments).output();
    let output = output
        .unwrap_or_else(|error| panic!("{name} cannot be run: {error}; scripts/test installs it"));
    assert!(
        !output.status.success(),
        "{name} {arguments:?} did not fail"
    );
    String::from_utf8(output.stderr).unwrap()
}
