//! Releasing: `scripts/release` refuses what is no release, and packs the same files into the same bytes; the completions
//! complete in a real bash, and there is a man page for every verb.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use clap::CommandFactory;
use sparkpack::cli::Cli;

use crate::support::{Run, TestProject, VERSION, program, run};

const BINARY: &str = env!("CARGO_BIN_EXE_sparkpack");

/// The verbs of the command line, without `help`.
fn verbs() -> Vec<String> {
    let command = Cli::command();
    let verbs = command.get_subcommands();
    verbs.map(|verb| verb.get_name().to_owned()).collect()
}

/// What bash offers for the last of these words, with nothing in it but the script.
fn completed(words: &[&str]) -> Vec<String> {
    let script = r#"
        source <(SPARKPACK completions bash)
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        [[ $(complete -p sparkpack) =~ -F\ ([^ ]+) ]]
        "${BASH_REMATCH[1]}" sparkpack "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let script = script.replace("SPARKPACK", BINARY);
    let command = ["--norc", "--noprofile", "-c", &script, "bash"];
    let offered = program("bash", &[&command[..], words].concat());
    offered.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_flags_and_values() {
    assert_eq!(completed(&["sparkpack", "do"]), ["doctor"]);
    let mut offered = completed(&["sparkpack", "p"]);
    offered.sort();
    assert_eq!(offered, ["package", "pin", "plan", "promote", "push"]);
    assert_eq!(completed(&["sparkpack", "tags", "--fo"]), ["--format"]);
    let values = ["sparkpack", "tags", "--format", ""];
    assert_eq!(completed(&values), ["lines", "json", "env"]);
    // With a flag before the verb.
    let after_flag = ["sparkpack", "--quiet", "push", "--no-s"];
    assert_eq!(completed(&after_flag), ["--no-strict"]);
}

#[test]
fn each_shell_gets_a_script_with_every_verb_without_a_project() {
    let place = TestProject::new(&[]);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let printed = place.succeed(&["completions", shell]);
        assert_eq!(printed.stderr, "");
        for verb in verbs() {
            assert!(printed.stdout.contains(&verb), "{shell}: {verb}");
        }
        let help = place.succeed(&["completions", "--help"]).stdout;
        assert!(help.contains(&format!("\n  {shell} ")), "{help}");
        place.write(shell, &printed.stdout);
        let parses = ["bash", "fish", "zsh"].contains(&shell);
        if parses && Command::new(shell).arg("--version").output().is_ok() {
            program(shell, &["-n", place.root().join(shell).to_str().unwrap()]);
        }
    }
    let unknown = place.run(&["completions", "csh"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("possible values: bash,"));
}

/// Runs cargo in this checkout and returns what it prints.
fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo tells a test of its package would have ring compiled anew, and all that stands on it.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    let done = run(&mut command);
    assert_eq!(done.code, 0, "{}", done.stderr);
    done.stdout
}

/// The man pages in a folder of the test, as `scripts/release` has them made.
fn man_pages(place: &TestProject) -> PathBuf {
    let folder = place.home().join("man");
    let made = folder.to_str().unwrap();
    cargo(&[
        "run",
        "--quiet",
        "--locked",
        "--example",
        "man-pages",
        "--",
        made,
    ]);
    folder
}

/// The source distribution, and the package of cargo, have each file that the binary is made of.
#[test]
fn a_source_distribution_has_what_is_compiled_into_the_binary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packaged = cargo(&[
        "package",
        "--list",
        "--allow-dirty",
        "--locked",
        "--offline",
    ]);
    let packaged: Vec<&str> = packaged.lines().collect();
    let mut compared = 0;
    for folder in ["src", "dockerfiles", "templates"] {
        for entry in walkdir::WalkDir::new(root.join(folder)) {
            let entry = entry.unwrap();
            let file = entry.path().strip_prefix(root).unwrap().to_str().unwrap();
            if entry.file_type().is_file() && !file.contains("__pycache__") {
                assert!(packaged.contains(&file), "{file} is left out");
                compared += 1;
            }
        }
    }
    assert!(compared > 300, "{compared}");
    let left_out = packaged.iter().find(|file| file.starts_with("tests/"));
    assert_eq!(left_out, None);
}

/// The names of the files in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn every_verb_has_a_man_page_that_groff_reads_without_warnings() {
    let place = TestProject::new(&[]);
    let folder = man_pages(&place);
    let pages = verbs()
        .into_iter()
        .map(|verb| format!("sparkpack-{verb}.1"));
    let mut pages: Vec<String> = pages.chain(["sparkpack.1".to_owned()]).collect();
    pages.sort();
    assert_eq!(names(&folder), pages);
    let main = fs_err::read_to_string(folder.join("sparkpack.1")).unwrap();
    for page in &pages {
        let named = page.trim_end_matches(".1").replace('-', "\\-");
        assert!(main.contains(&named), "{page} is not in sparkpack.1");
    }
    for page in &pages {
        let mut groff = Command::new("groff");
        groff.args(["-man", "-Kutf8", "-Tutf8", "-ww", "-P-cbou"]);
        let read = run(groff.arg(folder.join(page)));
        assert_eq!((read.code, read.stderr.as_str()), (0, ""), "{page}");
        for heading in ["\nNAME\n", "\nSYNOPSIS\n", "\nOPTIONS\n"] {
            assert!(read.stdout.contains(heading), "{}", read.stdout);
        }
    }
}

/// A commit of a checkout with what a release is made from, but for the code.
fn checkout() -> TestProject {
    let place = TestProject::new(&[]);
    for file in [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "scripts/release",
        "scripts/lib.sh",
    ] {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        place.write(file, &fs_err::read_to_string(own).unwrap());
    }
    place.write(
        "CHANGELOG.md",
        "# Changelog\n\n## Unreleased\n\n- A line.\n\n- Another.\n\n## 0.0.1\n\n- The first.\n",
    );
    place.begin_git();
    place.git(&["commit", "--quiet", "--message", "a release"]);
    place
}

/// Runs `scripts/release` of a checkout, with a temporary folder of its own.
fn release(place: &TestProject, umask: &str, arguments: &[&str]) -> Run {
    let temporary = place.home().join("temporary");
    fs_err::create_dir_all(&temporary).unwrap();
    let mut command = Command::new("bash");
    command
        .args(["-c", "umask $0; exec bash scripts/release \"$@\"", umask])
        .args(arguments)
        .current_dir(place.root())
        .env("TMPDIR", &temporary);
    let run = run(&mut command);
    assert_eq!(names(&temporary), [""; 0], "{}", run.stderr);
    run
}

/// The options that pack the tests' binary without its debug information, which would take a minute.
fn packed(place: &TestProject) -> [String; 4] {
    let binary = place.home().join("sparkpack");
    let binary = binary.to_str().unwrap();
    program("strip", &["-o", binary, BINARY]);
    let man = man_pages(place).display().to_string();
    [
        "--binary".to_owned(),
        binary.to_owned(),
        "--man".to_owned(),
        man,
    ]
}

#[test]
fn the_same_files_are_packed_into_the_same_bytes() {
    let place = checkout();
    let packed = packed(&place);
    let packed = packed.each_ref().map(String::as_str);
    let folder = |name: &str| place.home().join(name);
    let archive = format!(
        "sparkpack-{VERSION}-{}-unknown-linux-gnu",
        std::env::consts::ARCH
    );
    let made = [format!("{archive}.tar.gz"), format!("CHANGES-{VERSION}.md")];
    for (name, umask) in [("first", "022"), ("second", "077")] {
        let out = folder(name);
        let arguments = [&packed[..], &["--out", out.to_str().unwrap()]].concat();
        let done = release(&place, umask, &arguments);
        assert_eq!(done.code, 0, "{}", done.stderr);
        let listed = names(&out)
            .into_iter()
            .map(|name| out.join(name).display().to_string());
        assert_eq!(
            done.stdout.lines().collect::<Vec<_>>(),
            listed.collect::<Vec<_>>()
        );
        let glibc = format!(
            "{}-unknown-linux-gnu: needs glibc 2.",
            std::env::consts::ARCH
        );
        assert!(done.stderr.contains(&glibc), "{}", done.stderr);
        assert_eq!(
            done.stderr.lines().last().unwrap(),
            "missing: wheels, source distribution: --binary packs only what is there"
        );
    }
    assert_eq!(names(&folder("first")), names(&folder("second")));
    for name in names(&folder("first")) {
        let bytes = |of: &str| fs_err::read(folder(of).join(&name)).unwrap();
        assert!(bytes("first") == bytes("second"), "{name}");
    }
    let sums = fs_err::read_to_string(folder("first").join("SHA256SUMS")).unwrap();
    let summed: Vec<&str> = sums.lines().map(|line| &line[66..]).collect();
    assert_eq!(summed, [&made[1], &made[0]]);
    let first = folder("first");
    let there = [
        "-c",
        "cd \"$0\" && sha256sum --check --strict SHA256SUMS",
        first.to_str().unwrap(),
    ];
    program("sh", &there);
    let changes = fs_err::read_to_string(first.join(&made[1])).unwrap();
    assert_eq!(changes, "- A line.\n\n- Another.\n");

    let file = first.join(&made[0]);
    let listing = ["--numeric-owner", "-tvzf", file.to_str().unwrap()];
    let listing = program("tar", &[&["--utc"], &listing[..]].concat());
    let time = place.git(&[
        "log",
        "-1",
        "--format=%cd",
        "--date=format-local:%Y-%m-%d %H:%M",
    ]);
    let files: Vec<&str> = listing
        .lines()
        .map(|line| {
            let mode = &line[..10];
            let wanted = match line {
                _ if line.ends_with('/') => "drwxr-xr-x",
                _ if line.ends_with("/sparkpack") => "-rwxr-xr-x",
                _ => "-rw-r--r--",
            };
            assert_eq!(mode, wanted, "{line}");
            assert!(line[10..].starts_with(" 0/0 "), "{line}");
            line.rsplit(' ').next().unwrap()
        })
        .filter(|path| !path.ends_with('/') && !path.contains("/man1/sparkpack-"))
        .map(|path| path.strip_prefix(&archive).unwrap())
        .collect();
    assert!(
        listing.lines().all(|line| line.contains(time.trim())),
        "{time}{listing}"
    );
    assert_eq!(
        files,
        [
            "/LICENSE",
            "/README.md",
            "/completions/_sparkpack",
            "/completions/_sparkpack.ps1",
            "/completions/sparkpack.bash",
            "/completions/sparkpack.elv",
            "/completions/sparkpack.fish",
            "/man/man1/sparkpack.1",
            "/sparkpack",
        ]
    );
    assert_eq!(listing.matches("/man1/sparkpack-").count(), verbs().len());

    let again = [&packed[..], &["--out", first.to_str().unwrap()]].concat();
    let again = release(&place, "022", &again);
    assert_eq!(again.code, 2);
    assert!(
        again.stderr.ends_with(
            "first is there already\nhint: name another folder with --out, or remove it\n"
        )
    );
    let all = [&packed[..], &["--require-all"]].concat();
    let all = release(&place, "022", &all);
    assert_eq!(all.code, 6);
    assert_eq!(
        all.stderr,
        "missing: wheels, source distribution: --binary packs only what is there\n\
         error: this machine cannot make all of the release, and --require-all is set\n"
    );
    assert!(!place.root().join("target").exists());
}

/// A program that takes no time to be packed: it says that it is `version`, and is sparkpack otherwise.
fn stand_in(place: &TestProject, version: &str) -> String {
    let file = place.home().join("sparkpack");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] || exec {BINARY} \"$@\"\necho sparkpack {version}\n"
    );
    fs_err::write(&file, script).unwrap();
    program("chmod", &["+x", file.to_str().unwrap()]);
    let man = place.home().join("man");
    fs_err::create_dir_all(&man).unwrap();
    fs_err::write(man.join("sparkpack.1"), "").unwrap();
    file.to_str().unwrap().to_owned()
}

/// Packs a stand-in into the folder `out` of the home.
fn pack_stand_in(place: &TestProject, version: &str) -> Run {
    let binary = stand_in(place, version);
    let path = |name: &str| place.home().join(name).display().to_string();
    let (man, out) = (path("man"), path("out"));
    release(
        place,
        "022",
        &["--binary", &binary, "--man", &man, "--out", &out],
    )
}

/// The section of the version goes before `Unreleased`.
#[test]
fn the_section_of_the_version_is_released() {
    let place = checkout();
    place.edit(
        "CHANGELOG.md",
        "## 0.0.1\n",
        &format!("## [{VERSION}] - 2026-11-30\n"),
    );
    place.git(&["commit", "--quiet", "--all", "--message", "its section"]);
    place.git(&["tag", &format!("v{VERSION}")]);
    let done = pack_stand_in(&place, VERSION);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let changes = place.home().join(format!("out/CHANGES-{VERSION}.md"));
    assert_eq!(fs_err::read_to_string(changes).unwrap(), "- The first.\n");
}

/// A binary of another version is not packed under the name of this one.
#[test]
fn a_binary_of_another_version_is_not_packed() {
    let place = checkout();
    let failed = pack_stand_in(&place, "0.0.1");
    assert_eq!(failed.code, 1);
    let said = format!("says that it is sparkpack 0.0.1, and this is the release of {VERSION}\n");
    assert!(failed.stderr.ends_with(&said), "{}", failed.stderr);
    // Nothing is left half-made.
    assert_eq!(names(&place.home()), ["man", "sparkpack", "temporary"]);
}

#[test]
fn what_is_no_release_is_refused_before_anything_is_made() {
    let refused = |place: &TestProject, arguments: &[&str]| {
        let run = release(place, "022", arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
        assert!(!place.root().join("target").exists());
        run.stderr
    };
    let place = checkout();
    let commit = |message: &str| {
        place.git(&[
            "commit",
            "--quiet",
            "--allow-empty",
            "--all",
            "--message",
            message,
        ]);
        place.git(&["rev-parse", "HEAD"])[..12].to_owned()
    };
    place.write("notes.txt", "");
    place.edit("README.md", "# sparkpack", "# Sparkpack");
    assert_eq!(
        refused(&place, &[]),
        "error: the work tree has changes: README.md, and 1 more\nhint: git status\n"
    );
    fs_err::remove_file(place.root().join("notes.txt")).unwrap();
    place.git(&["checkout", "--quiet", "README.md"]);

    let tag = format!("v{VERSION}");
    place.git(&["tag", "--annotate", "--message", "a release", &tag]);
    let tagged = place.git(&["rev-parse", "HEAD"])[..12].to_owned();
    let head = commit("after it");
    assert_eq!(
        refused(&place, &[]),
        format!(
            "error: {tag} is the tag of {tagged}, and this is {head}\n\
             hint: raise the version in Cargo.toml, or `git checkout {tag}`\n"
        )
    );
    place.git(&["tag", "--delete", &tag]);
    place.git(&["tag", "v9.0.0"]);
    assert_eq!(
        refused(&place, &[]),
        format!(
            "error: this commit has the tag v9.0.0, and Cargo.toml says version {VERSION}\n\
             hint: git tag --delete v9.0.0, or set the version and commit\n"
        )
    );
    place.git(&["tag", "--delete", "v9.0.0"]);
    place.edit("CHANGELOG.md", "- A line.\n\n- Another.\n", "");
    commit("nothing to say");
    assert_eq!(
        refused(&place, &[]),
        format!(
            "error: CHANGELOG.md has nothing to release: neither a section {VERSION} nor `Unreleased` has a line\n\
             hint: write what has changed for the people who use it\n"
        )
    );
    place.edit(
        "Cargo.toml",
        &format!("\nversion = \"{VERSION}\""),
        "\nversion = \"9.0.0\"",
    );
    commit("another version");
    assert_eq!(
        refused(&place, &[]),
        format!(
            "error: Cargo.toml says version 9.0.0, and Cargo.lock {VERSION}\n\
             hint: cargo metadata --format-version 1 >/dev/null\n"
        )
    );
    assert!(
        refused(&place, &["--binary", BINARY])
            .starts_with("error: --binary and --man go together\n")
    );
    assert!(refused(&place, &["--publish"]).starts_with("error: unknown argument: --publish\n"));
    assert!(refused(&place, &["--out"]).starts_with("error: --out needs a value\n"));
}
