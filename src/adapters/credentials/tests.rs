use std::{io::Write as _, time::Duration};

use base64::engine::general_purpose::STANDARD as PLAIN;

use super::*;

fn repository(text: &str) -> Repository {
    text.parse().unwrap()
}

fn user(credentials: &Credentials, text: &str) -> String {
    match credentials.of(&repository(text)).unwrap() {
        Credential::Basic { username, .. } => username,
        other => format!("{other:?}"),
    }
}

/// A folder of helpers. Another process writes each of them, so that no thread of this one holds it open for writing.
#[expect(clippy::disallowed_methods, reason = "tests write programs")]
fn helpers(scripts: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, script) in scripts {
        let file = folder.path().join(format!("docker-credential-{name}"));
        let mut child = std::process::Command::new("sh")
            .args(["-c", "cat > \"$0\" && chmod 0755 \"$0\""])
            .arg(&file)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        write!(input, "#!/bin/sh\n{script}\n").unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
    }
    folder
}

fn with_helpers(text: &str, folder: &Path) -> Credentials {
    let search_path = format!("{}:/usr/bin:/bin", folder.display());
    Credentials {
        search_path: Some(search_path.into()),
        ..Credentials::of_text(text)
    }
}

fn auth(text: &str) -> String {
    PLAIN.encode(text)
}

#[test]
fn keys_are_compared_whole() {
    let text = json!({"auths": {
        "reg.io": {"auth": auth("whole:1")},
        "reg.io:5000": {"auth": auth("port:1")},
        "https://index.docker.io/v1/": {"auth": auth("hub:1")},
        "https://other.example/v2/": {"auth": auth("other:1")},
    }});
    let credentials = Credentials::of_text(&text.to_string());
    for (repository, expected) in [
        ("reg.io/a", "whole"),
        ("reg.io:5000/a", "port"),
        ("reg.io.evil/a", "Anonymous"),
        ("sub.reg.io/a", "Anonymous"),
        ("reg.io:5001/a", "Anonymous"),
        ("debian", "hub"),
        ("docker.io/team/job", "hub"),
        ("other.example/x", "other"),
    ] {
        assert_eq!(user(&credentials, repository), expected, "{repository}");
    }
}

#[test]
fn the_longest_path_wins_and_ends_at_a_component() {
    let text = json!({"auths": {
        "reg.io": {"auth": auth("whole:1")},
        "reg.io/team": {"auth": auth("team:1")},
        "reg.io/team/deep": {"auth": auth("deep:1")},
        "docker.io/library": {"auth": auth("library:1")},
    }});
    let mut credentials = Credentials::of_text(&text.to_string());
    for by_docker in [true, false] {
        credentials.files[0].by_docker = by_docker;
        for (repository, expected) in [
            ("reg.io/team/job", "team"),
            ("reg.io/team", "team"),
            ("reg.io/team/deep/job", "deep"),
            ("reg.io/team/deeper", "team"),
            ("reg.io/teams/job", "whole"),
            ("debian", "library"),
        ] {
            assert_eq!(user(&credentials, repository), expected, "{repository}");
        }
    }
    assert_eq!(user(&credentials, "docker.io/other/x"), "Anonymous");
    credentials.files[0].by_docker = true;
    assert_eq!(user(&credentials, "docker.io/other/x"), "library");
}

#[test]
fn every_form_of_an_entry_is_read() {
    let text = json!({"auths": {
        "a.example": {"auth": auth("ann:p:w\0\0").trim_end_matches('=')},
        "b.example": {"username": "bob", "password": "pw"},
        "c.example": {"auth": auth("00000000-0000-0000-0000-000000000000:"), "identitytoken": "refresh"},
        "d.example": {"auth": auth("<token>:refresh")},
        "e.example": {},
        "f.example": null,
        "g.example": {"auth": "no base64!"},
    }, "HttpHeaders": {"x": "y"}});
    let credentials = Credentials::of_text(&text.to_string());
    let of = |registry: &str| credentials.of(&repository(&format!("{registry}/x")));
    let basic = |username: &str, password: &str| Credential::Basic {
        username: username.to_owned(),
        password: password.to_owned(),
    };
    assert_eq!(of("a.example").unwrap(), basic("ann", "p:w"));
    assert_eq!(of("b.example").unwrap(), basic("bob", "pw"));
    assert_eq!(
        of("c.example").unwrap(),
        Credential::IdentityToken("refresh".to_owned())
    );
    assert_eq!(
        of("d.example").unwrap(),
        Credential::IdentityToken("refresh".to_owned())
    );
    assert_eq!(of("e.example").unwrap(), Credential::Anonymous);
    assert_eq!(of("f.example").unwrap(), Credential::Anonymous);
    let error = of("g.example").unwrap_err();
    assert!(
        error.to_string().contains("`g.example`") && !error.to_string().contains("no base64!"),
        "{error}"
    );
    assert_eq!(error.hint().unwrap(), "run `docker login g.example` again");
}

#[test]
fn files_are_found_where_docker_and_podman_keep_them() {
    let home = tempfile::tempdir().unwrap();
    let write = |path: &str, name: &str| {
        let file = home.path().join(path);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        let text = json!({"auths": {format!("{name}.example"): {"auth": auth(&format!("{name}:1"))},
            "shared.example": {"auth": auth(&format!("{name}:1"))}}});
        fs_err::write(file, text.to_string()).unwrap();
    };
    write(".docker/config.json", "docker");
    write("run/containers/auth.json", "session");
    write(".config/containers/auth.json", "home");
    write("named.json", "named");
    write("elsewhere/config.json", "elsewhere");
    let inline = json!({"auths": {"shared.example": {"auth": auth("inline:1")}}}).to_string();
    let in_home = |path: &str| home.path().join(path).into_os_string();
    let load = |set: &[(&str, OsString)]| {
        let set: BTreeMap<&str, OsString> = set.iter().cloned().collect();
        Credentials::read(&|name| set.get(name).cloned()).unwrap()
    };
    let home_only = [("HOME", in_home("")), ("XDG_RUNTIME_DIR", in_home("run"))];
    let credentials = load(&home_only);
    for name in ["docker", "session", "home"] {
        assert_eq!(user(&credentials, &format!("{name}.example/x")), name);
    }
    assert_eq!(user(&credentials, "shared.example/x"), "docker");
    let named = [
        ("HOME", in_home("")),
        ("REGISTRY_AUTH_FILE", in_home("named.json")),
    ];
    assert_eq!(user(&load(&named), "shared.example/x"), "named");
    let moved = load(&[
        ("HOME", in_home("")),
        ("DOCKER_CONFIG", in_home("elsewhere")),
    ]);
    assert_eq!(user(&moved, "shared.example/x"), "elsewhere");
    assert_eq!(user(&moved, "docker.example/x"), "Anonymous");
    let all = [&named[..], &[("DOCKER_AUTH_CONFIG", inline.into())]].concat();
    assert_eq!(user(&load(&all), "shared.example/x"), "inline");
    assert_eq!(
        user(&load(&[("HOME", in_home("nowhere"))]), "shared.example/x"),
        "Anonymous"
    );
}

#[test]
fn a_broken_file_is_named_with_its_place_and_without_its_content() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.json");
    let read = |text: &str| {
        fs_err::write(&file, text).unwrap();
        Credentials::read(&|name| (name == "DOCKER_CONFIG").then(|| home.path().into()))
    };
    let shown = file.display();
    for (text, expected) in [
        (
            "{\n  \"auths\": {,\n}",
            format!("{shown}:2:13: this is not JSON"),
        ),
        (
            "{\"auths\": {",
            format!("{shown}:1:11: the JSON text ends too early"),
        ),
        (
            "{\"auths\":\n\"s3cret\"}",
            format!("{shown}:2:8: a value of another kind is wanted here"),
        ),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().unwrap().contains("docker login"));
    }
    assert!(read("").is_ok() && read("\n").is_ok() && read("{}").is_ok());
    fs_err::remove_file(&file).unwrap();
    fs_err::create_dir(&file).unwrap();
    let error = Credentials::read(&|name| (name == "DOCKER_CONFIG").then(|| home.path().into()))
        .unwrap_err();
    assert!(
        matches!(error, CredentialsError::Unreadable { .. }),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("is a folder"));
}

#[test]
fn a_helper_of_the_host_goes_before_the_store_and_both_before_entries() {
    let scripts = [
        (
            "own",
            r#"read server; echo "{\"ServerURL\":\"$server\",\"Username\":\"own $server\",\"Secret\":\"s\"}""#,
        ),
        (
            "store",
            r#"read server; echo "{\"Username\":\"store $server\",\"Secret\":\"s\"}""#,
        ),
    ];
    let folder = helpers(&scripts);
    let text = json!({
        "credHelpers": {"own.example": "own", "none.example": ""},
        "credsStore": "store",
        "auths": {"own.example": {"auth": auth("inline:1")}, "none.example": {"auth": auth("inline:1")}},
    });
    let credentials = with_helpers(&text.to_string(), folder.path());
    assert_eq!(user(&credentials, "own.example/x"), "own own.example");
    assert_eq!(user(&credentials, "none.example/x"), "inline");
    assert_eq!(
        user(&credentials, "debian"),
        "store https://index.docker.io/v1/"
    );
}

#[test]
fn a_helper_without_the_credential_leaves_it_to_the_entries_and_is_asked_once() {
    let folder = helpers(&[(
        "empty",
        "echo x >> \"$(dirname \"$0\")/asked\"; echo credentials not found in native keychain; exit 1",
    )]);
    let text = json!({"credsStore": "empty", "auths": {"reg.example": {"auth": auth("inline:1")}}});
    let credentials = with_helpers(&text.to_string(), folder.path());
    assert_eq!(user(&credentials, "reg.example/x"), "inline");
    assert_eq!(user(&credentials, "reg.example/y"), "inline");
    assert_eq!(
        fs_err::read_to_string(folder.path().join("asked")).unwrap(),
        "x\n"
    );
}

#[test]
fn a_helper_that_fails_is_named_and_not_quoted() {
    let folder = helpers(&[
        ("exits", "echo s3cret; echo s3cret >&2; exit 3"),
        ("babbles", "echo s3cret"),
        ("floods", "exec head -c 2000000 /dev/zero"),
        (
            "token",
            r#"echo '{"Username":"<token>","Secret":"refresh"}'"#,
        ),
    ]);
    let of = |helper: &str| {
        let text = json!({"credHelpers": {"reg.example": helper}}).to_string();
        with_helpers(&text, folder.path()).of(&repository("reg.example/x"))
    };
    for (helper, expected) in [
        ("exits", "failed with exit code 3"),
        ("babbles", "printed something that is no credential"),
        ("floods", "printed more than 1 MiB"),
        ("absent", "is not installed"),
        ("../x", "has no name of a helper"),
    ] {
        let error = of(helper).unwrap_err();
        let expected = format!(
            "`docker-credential-{helper}`, which config.json names for `reg.example`, {expected}"
        );
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?} {:?}", error.hint()).contains("s3cret"));
    }
    assert!(
        of("absent")
            .unwrap_err()
            .hint()
            .unwrap()
            .starts_with("install `docker-credential-absent`")
    );
    assert_eq!(
        of("token").unwrap(),
        Credential::IdentityToken("refresh".to_owned())
    );
}

#[test]
fn a_helper_that_hangs_is_ended() {
    let folder = helpers(&[
        ("hangs", "exec sleep 600"),
        ("lingers", "exec >&-; exec sleep 600"),
    ]);
    let path = OsString::from(format!("{}:/usr/bin:/bin", folder.path().display()));
    for name in ["hangs", "lingers"] {
        let fault =
            helper::get_within(Duration::from_millis(300), name, "reg.example", Some(&path))
                .unwrap_err();
        assert!(matches!(fault, HelperFault::Timeout(_)), "{fault}");
    }
}

#[test]
fn a_secret_is_not_shown_by_debug() {
    let text =
        json!({"auths": {"reg.example": {"auth": auth("ann:s3cret"), "password": "s3cret"}}})
            .to_string();
    let credentials = Credentials::of_text(&text);
    let credential = credentials.of(&repository("reg.example/x")).unwrap();
    let shown = format!(
        "{credentials:?} {credential:?} {:?}",
        Credential::IdentityToken("s3cret".to_owned())
    );
    assert!(
        !shown.contains("s3cret") && !shown.contains(&auth("ann:s3cret")),
        "{shown}"
    );
    assert!(shown.contains("ann"), "{shown}");
}

#[test]
fn the_daemon_is_told_in_the_url_safe_alphabet() {
    let credential = Credential::Basic {
        username: "u".to_owned(),
        password: "a>b?c~d>e?f~~~~~~~".to_owned(),
    };
    let header = registry_auth(&credential, "reg.example:5000");
    assert!(
        !header.contains(['+', '/']) && header.len().is_multiple_of(4),
        "{header}"
    );
    let value: serde_json::Value =
        serde_json::from_slice(&URL_SAFE.decode(header).unwrap()).unwrap();
    let expected = json!({"username": "u", "password": "a>b?c~d>e?f~~~~~~~", "serveraddress": "reg.example:5000"});
    assert_eq!(value, expected);
    let token = registry_auth(&Credential::IdentityToken("t".to_owned()), "docker.io");
    let value: serde_json::Value =
        serde_json::from_slice(&URL_SAFE.decode(token).unwrap()).unwrap();
    assert_eq!(
        value,
        json!({"identitytoken": "t", "serveraddress": HUB_SERVER})
    );
    assert_eq!(
        URL_SAFE
            .decode(registry_auth(&Credential::Anonymous, "x"))
            .unwrap(),
        b"{}"
    );
}
