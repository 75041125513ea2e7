//! Which changes move a tag and which do not: every class of inputs and of other things, offline.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::{PermissionsExt, symlink},
};

use crate::support::{TestProject, classes, lock_requirements, program, run};

const SIX_16: &str = "six-1.16.0-py2.py3-none-any.whl";
const SIX_17: &str = "six-1.17.0-py2.py3-none-any.whl";

/// The tags of the checkout by image.
fn tags(project: &TestProject) -> BTreeMap<String, String> {
    parse(&project.succeed(&["tags"]).stdout)
}

fn parse(references: &str) -> BTreeMap<String, String> {
    let pairs = references.lines().map(|reference| {
        let (repository, tag) = reference.rsplit_once(':').unwrap();
        (
            repository.rsplit('/').next().unwrap().to_owned(),
            tag.to_owned(),
        )
    });
    pairs.collect()
}

/// The names of the images whose tags a change has moved.
fn moved(before: &BTreeMap<String, String>, project: &TestProject) -> String {
    let after = tags(project);
    assert!(before.keys().eq(after.keys()), "{after:?}");
    let moved = before.iter().filter(|(name, tag)| after[*name] != **tag);
    let names: Vec<&str> = moved.map(|(name, _)| name.as_str()).collect();
    names.join(" ")
}

#[test]
fn each_class_of_input_moves_its_images_and_what_stands_on_them() {
    let before = tags(&classes::project());
    for (what, wanted, change) in MOVES {
        let project = classes::project();
        change(&project);
        assert_eq!(moved(&before, &project), *wanted, "{what}");
    }
}

#[test]
fn each_class_of_what_is_no_input_leaves_every_tag() {
    let before = tags(&classes::project());
    for (what, change) in SAME {
        let project = classes::project();
        change(&project);
        assert_eq!(moved(&before, &project), "", "{what}");
    }
}

/// The files that match a COPY are determined anew in every run.
#[test]
fn a_new_file_that_a_pattern_matches_moves_what_copies_it() {
    let project = classes::project();
    project.edit(
        "docker/ds/Dockerfile",
        "COPY docker/ds/data/ /data/",
        "COPY docker/ds/data/*.txt docker/ds/build.txt /data/",
    );
    let before = tags(&project);
    project.write("docker/ds/data/three", "");
    assert_eq!(moved(&before, &project), "", "no pattern matches it");
    project.write("docker/ds/data/three.txt", "");
    assert_eq!(moved(&before, &project), "ds job");
}

/// Changes of inputs: the images whose tags they move, and how.
type Move = (&'static str, &'static str, fn(&TestProject));

const MOVES: &[Move] = &[
    // Files of contexts.
    ("a byte of a file", classes::IMAGES, |p| {
        p.edit("docker/base/start.sh", "/bin/sh", "/bin/SH")
    }),
    ("a byte more", classes::IMAGES, |p| {
        p.edit("docker/base/start.sh", "sh\n", "sh\n\n")
    }),
    ("CRLF in a file", classes::IMAGES, |p| {
        p.edit("docker/base/start.sh", "\n", "\r\n")
    }),
    (
        "the exec bit of a script taken away",
        classes::IMAGES,
        |p| mode(p, "docker/base/start.sh", 0o644),
    ),
    ("a symlink's target", classes::IMAGES, |p| {
        link(p, "docker/base/conf/link.conf", "b.conf")
    }),
    (
        "a symlink's text that leads to the same",
        classes::IMAGES,
        |p| link(p, "docker/base/conf/link.conf", "./a.conf"),
    ),
    (
        "a symlink that becomes what it leads to",
        classes::IMAGES,
        |p| {
            fs_err::remove_file(p.root().join("docker/base/conf/link.conf")).unwrap();
            p.write("docker/base/conf/link.conf", "a\n");
        },
    ),
    ("the case of a file's name", classes::IMAGES, |p| {
        rename(p, "docker/base/conf/b.conf", "docker/base/conf/B.conf")
    }),
    ("a hidden file", classes::IMAGES, |p| {
        p.write("docker/base/conf/.hidden", "")
    }),
    ("an empty file", "ds job", |p| {
        p.write("docker/ds/data/three", "")
    }),
    ("the contents of two files swapped", "ds job", |p| {
        swap(p, "docker/ds/data/one", "docker/ds/data/two")
    }),
    ("bytes moved from a file to the next", "ds job", |p| {
        p.write("docker/ds/data/one", "1\n2");
        p.write("docker/ds/data/two", "\n");
    }),
    ("bytes moved from a name to the contents", "ds job", |p| {
        rename(p, "docker/ds/data/one", "docker/ds/data/on");
        p.write("docker/ds/data/on", "e1\n");
    }),
    ("a line end in a name", "ds job", |p| {
        rename(p, "docker/ds/data/one", "docker/ds/data/o\nne")
    }),
    ("a name of separators", "ds job", |p| {
        rename(p, "docker/ds/data/one", "docker/ds/data/4:file,1:a,2;")
    }),
    ("a file that only a stage below copies", "ds job", |p| {
        p.edit("docker/ds/build.txt", "build", "built")
    }),
    ("a file moved into a folder", "folder", |p| {
        rename(p, "folder/a.txt", "folder/sub/a.txt")
    }),
    ("a file that a rule takes back", "folder", |p| {
        p.edit("folder/keep.log", "keep", "kept")
    }),
    (
        "a comment in a .dockerignore that is copied",
        "folder",
        |p| p.write("folder/.dockerignore", "*.log\n!keep.log\n#\n"),
    ),
    ("a rule of a .dockerignore", "folder", |p| {
        p.write("folder/.dockerignore", "*.log\n")
    }),
    ("a file of another kind", "folder", |p| {
        fs_err::remove_file(p.root().join("folder/sub/b.txt")).unwrap();
        link(p, "folder/sub/b.txt", "../a.txt");
    }),
    (
        "a Dockerfile.dockerignore, which counts instead",
        "folder",
        |p| p.write("docker/folder/Dockerfile.dockerignore", "a.txt\n"),
    ),
    ("the exec bit given to a file", "ds job", |p| {
        mode(p, "docker/ds/data/one", 0o744)
    }),
    ("a new symlink", "ds job", |p| {
        link(p, "docker/ds/data/link", "one")
    }),
    ("a file cut in two", "ds job", |p| {
        p.write("docker/ds/data/one", "1");
        p.write("docker/ds/data/one2", "\n");
    }),
    // Dockerfiles, and their configuration.
    ("a comment in base's Dockerfile", classes::IMAGES, |p| {
        p.edit("docker/base/Dockerfile", "COPY jars", "# jars\nCOPY jars")
    }),
    ("white space at a line's end", classes::IMAGES, |p| {
        p.edit("docker/base/Dockerfile", "LEVEL=0", "LEVEL=0 ")
    }),
    ("an argument's default", classes::IMAGES, |p| {
        p.edit("docker/base/Dockerfile", "LEVEL=0", "LEVEL=2")
    }),
    ("a byte-order mark in a Dockerfile", classes::IMAGES, |p| {
        p.edit("docker/base/Dockerfile", "ARG UNDER", "\u{feff}ARG UNDER")
    }),
    ("a heredoc's text", "ds job", |p| {
        p.edit("docker/ds/Dockerfile", "\nheredoc", "\nother")
    }),
    ("a secret's name", "ds job", |p| {
        p.edit("docker/ds/Dockerfile", "id=token", "id=other")
    }),
    ("a stage that is not wanted", "ds job", |p| {
        p.edit(
            "docker/ds/Dockerfile",
            "COPY docker/ds/unfinished",
            "COPY docker/ds/finished",
        )
    }),
    ("the wanted stage", "ds job", |p| {
        p.edit("sparkpack.toml", "\"final\"", "\"unfinished\"")
    }),
    ("a label", "ds fetched folder job packed py", |p| {
        p.edit("docker/py/Dockerfile", "LABEL python", "LABEL Python")
    }),
    ("a build argument's value", classes::IMAGES, |p| {
        p.edit("sparkpack.toml", "LEVEL = \"1\"", "LEVEL = \"2\"")
    }),
    (
        "a build argument that is no longer given",
        classes::IMAGES,
        |p| p.edit("sparkpack.toml", "build-args.LEVEL = \"1\"", ""),
    ),
    ("a build argument that is empty", classes::IMAGES, |p| {
        p.edit("sparkpack.toml", "LEVEL = \"1\"", "LEVEL = \"\"")
    }),
    (
        "the chain's Java, which base declares",
        classes::IMAGES,
        |p| p.edit("sparkpack.toml", "python =", "java = \"21\"\npython ="),
    ),
    (
        "the chain's Python, which py declares",
        "ds fetched folder job packed py",
        |p| {
            p.edit("sparkpack.toml", "\"3.11\"", "\"3.12\"");
            p.edit("requirements.lock", "python: 3.11", "python: 3.12");
            p.edit("packed.lock", "python: 3.11", "python: 3.12");
        },
    ),
    ("another image below", "fetched", |p| {
        p.edit("docker/fetched/Dockerfile", "FROM py", "FROM base")
    }),
    ("the same image in another role", "fetched", |p| {
        p.edit(
            "docker/fetched/Dockerfile",
            "FROM py",
            "FROM base\nCOPY --from=py / /",
        );
    }),
    ("a line of the job's Dockerfile", "job", |p| {
        p.edit("docker/job/Dockerfile", "/opt/job/", "/opt/jobs/")
    }),
    ("the parent in the configuration", "packed", |p| {
        p.edit(
            "sparkpack.toml",
            "[images.packed]\nparent = \"py\"",
            "[images.packed]\nparent = \"ds\"",
        )
    }),
    ("the platform", classes::IMAGES, |p| {
        platforms(p, &["linux/arm64"])
    }),
    ("a second platform", classes::IMAGES, |p| {
        platforms(p, &["linux/amd64", "linux/arm64"])
    }),
    // The lock and sources.
    ("the root's digest", classes::IMAGES, |p| {
        p.edit(
            "sparkpack.lock",
            &classes::digits('0'),
            &classes::digits('6'),
        )
    }),
    (
        "the digest of an image that is copied from",
        "ds job",
        |p| {
            p.edit(
                "sparkpack.lock",
                &classes::digits('2'),
                &classes::digits('6'),
            )
        },
    ),
    ("the checksum of a source in the lock", "folder", |p| {
        p.edit(
            "sparkpack.lock",
            &classes::digits('3'),
            &classes::digits('6'),
        )
    }),
    (
        "the checksum of a jar in the configuration",
        classes::IMAGES,
        |p| {
            p.edit(
                "sparkpack.toml",
                &classes::digits('1'),
                &classes::digits('6'),
            )
        },
    ),
    ("the name of a jar", classes::IMAGES, |p| {
        p.edit("sparkpack.toml", "connector-1.jar", "connector-2.jar")
    }),
    ("how an archive is unpacked", "folder", |p| {
        p.edit("sparkpack.toml", "strip = 1", "strip = 2")
    }),
    ("a byte of a lone file's source", "ds job", |p| {
        p.edit("tools/tool", "sh", "bash")
    }),
    ("the exec bit of a lone file's source", "ds job", |p| {
        mode(p, "tools/tool", 0o644)
    }),
    ("the name of a lone file's source", "ds job", |p| {
        rename(p, "tools/tool", "tools/other");
        p.edit("sparkpack.toml", "tools/tool", "tools/other");
    }),
    ("a byte in a folder's source", "fetched", |p| {
        p.edit("tools/tree/data", "data", "Data")
    }),
    ("the exec bit in a folder's source", "fetched", |p| {
        mode(p, "tools/tree/bin/run", 0o644)
    }),
    ("a name in a folder's source", "fetched", |p| {
        rename(p, "tools/tree/data", "tools/tree/dat")
    }),
    (
        "a rebuild that was asked for",
        "ds fetched folder job packed py",
        |p| revise(p, "py", 1, "CVE"),
    ),
    ("a rebuild of the job", "job", |p| revise(p, "job", 1, "\n")),
    // Code and wheels.
    ("a byte of the main file", "job", |p| {
        p.edit("src/main.py", "main", "Main")
    }),
    ("the main file's name", "job", |p| {
        rename(p, "src/main.py", "src/start.py");
        p.edit(
            "sparkpack.toml",
            "src = \"src\"",
            "src = \"src\"\nmain = \"start.py\"",
        );
    }),
    ("another file as the main one", "job", |p| {
        p.edit(
            "sparkpack.toml",
            "src = \"src\"",
            "src = \"src\"\nmain = \"jobs/one.py\"",
        );
    }),
    ("main and a module swapped", "job", |p| {
        swap(p, "src/main.py", "src/jobs/one.py")
    }),
    ("two modules swapped", "job", |p| {
        swap(p, "src/jobs/one.py", "src/jobs/two.py")
    }),
    ("a module moved up", "job", |p| {
        rename(p, "src/jobs/two.py", "src/two.py")
    }),
    ("the exec bit of a module", "job", |p| {
        mode(p, "src/run.sh", 0o644)
    }),
    ("what a link in the code leads to", "job", |p| {
        link(p, "src/link.py", "jobs/two.py")
    }),
    ("a file that is no module", "job", |p| {
        p.write("src/data.json", "{}")
    }),
    ("a file moved from the code to a context", "ds job", |p| {
        rename(p, "src/run.sh", "docker/ds/data/run.sh")
    }),
    ("a wheel's checksum", "job", |p| {
        lock_wheels(p, "requirements.txt", &[(classes::SIX, '6')])
    }),
    ("a wheel's name", "job", |p| {
        lock_wheels(
            p,
            "requirements.txt",
            &[("six-1.17.0-py3-none-any.whl", '4')],
        )
    }),
    ("a wheel more", "job", |p| {
        lock_wheels(
            p,
            "requirements.txt",
            &[(classes::SIX, '4'), (classes::IDNA, '5')],
        )
    }),
    ("no wheel", "job", |p| {
        lock_wheels(p, "requirements.txt", &[])
    }),
    ("a wheel of an image without code", "packed", |p| {
        lock_wheels(p, "packed.txt", &[(classes::IDNA, '6')])
    }),
    ("wheels and an image swapped", "job packed", |p| {
        p.write("requirements.txt", "idna==3.10\n");
        p.write("packed.txt", "six==1.17.0\n");
        lock_wheels(p, "requirements.txt", &[(classes::IDNA, '5')]);
        lock_wheels(p, "packed.txt", &[(classes::SIX, '4')]);
    }),
    ("a byte of a module", "job", |p| {
        p.edit("src/jobs/one.py", "1", "2")
    }),
    ("a new module", "job", |p| p.write("src/jobs/three.py", "")),
    ("a module's name", "job", |p| {
        rename(p, "src/jobs/two.py", "src/jobs/duo.py")
    }),
    ("the case of a module's name", "job", |p| {
        rename(p, "src/jobs/two.py", "src/jobs/Two.py")
    }),
    ("the exec bit given to a module", "job", |p| {
        mode(p, "src/jobs/one.py", 0o755)
    }),
];

/// Changes of things that are no inputs.
type Same = (&'static str, fn(&TestProject));

const SAME: &[Same] = &[
    ("nothing", |_| ()),
    // Properties of the checkout's files.
    ("a new time on every file", |p| {
        everywhere(p, |path| {
            drop(program("touch", &["-h", "-d", "2001-02-03", path]))
        })
    }),
    ("times before 1970", |p| {
        everywhere(p, |path| {
            drop(program("touch", &["-h", "-d", "1960-01-01", path]))
        })
    }),
    ("another owner", |p| {
        drop(program(
            "chown",
            &["-Rh", "65534:65534", p.root().to_str().unwrap()],
        ))
    }),
    ("a umask of 000", |p| {
        everywhere(p, |path| drop(program("chmod", &["go+w", path])))
    }),
    ("a umask of 077", |p| {
        everywhere(p, |path| drop(program("chmod", &["go=", path])))
    }),
    ("exec bits of others", |p| {
        mode(p, "docker/base/conf/a.conf", 0o655)
    }),
    ("setuid and the sticky bit", |p| {
        mode(p, "docker/base/start.sh", 0o5755)
    }),
    ("a second name for the same file", |p| {
        let [one, other] = ["docker/ds/data/one", "linked"].map(|path| p.root().join(path));
        fs_err::hard_link(one, other).unwrap();
    }),
    ("files written again, in another order", |p| {
        for path in ["two", "one"].map(|name| format!("docker/ds/data/{name}")) {
            let text = p.read(&path);
            fs_err::remove_file(p.root().join(&path)).unwrap();
            p.write(&path, &text);
        }
    }),
    ("a git repository with a commit", |p| git(p)),
    ("caches of Python", |p| {
        p.write("src/jobs/__pycache__/one.cpython-311.pyc", "x");
        p.write("docker/base/conf/__pycache__/x.pyc", "x");
    }),
    ("virtual environments", |p| {
        p.write("folder/.venv/pyvenv.cfg", "x");
        p.write("src/venv/pyvenv.cfg", "x");
    }),
    ("what editors and systems leave", |p| {
        p.write("folder/a.txt~", "x");
        p.write("folder/.idea/workspace.xml", "x");
        p.write("folder/sub/.DS_Store", "x");
        p.write("src/jobs/.one.py.swp", "x");
    }),
    ("what a killed run left", |p| {
        for folder in [
            "folder",
            "src",
            "tools/tree",
            "docker/ds/data",
            "kubernetes",
        ] {
            p.write(&format!("{folder}/.sparkpack-0123456789abcdef"), "x");
        }
        for journal in [".sparkpack-journal", ".sparkpack-committed"] {
            p.write(journal, "x");
            p.write(&format!("folder/{journal}"), "x");
        }
    }),
    ("what is in dist", |p| p.write("dist/jobs.zip", "x")),
    ("empty folders", |p| {
        for path in [
            "docker/ds/data/empty",
            "folder/empty/er",
            "src/empty",
            "tools/tree/empty",
        ] {
            fs_err::create_dir_all(p.root().join(path)).unwrap();
        }
    }),
    ("a file beside everything", |p| p.write("NOTES.txt", "x")),
    ("a manifest", |p| {
        p.edit("kubernetes/job.yml", "unbuilt", "0123456789abcdef")
    }),
    ("a comment in a manifest", |p| {
        p.edit("kubernetes/job.yml", "kind: Pod", "# why\nkind: Pod")
    }),
    ("pins", |p| p.write("sparkpack.pins", "x")),
    // Files that nothing uses, and changes without a meaning.
    ("a file that no COPY matches", |p| {
        p.edit("docker/base/notes.txt", "matches", "wants")
    }),
    ("a new file that no COPY matches", |p| {
        p.write("docker/base/more.txt", "")
    }),
    ("a file of a stage that is not wanted", |p| {
        p.edit("docker/ds/unfinished.txt", "un", "")
    }),
    ("a file that .dockerignore leaves out", |p| {
        p.edit("folder/drop.log", "drop", "dropped")
    }),
    ("a new file that .dockerignore leaves out", |p| {
        p.write("folder/sub/../more.log", "")
    }),
    (
        "a .dockerignore that leaves out nothing and is not copied",
        |p| p.write(".dockerignore", "# nothing\nnothing\n"),
    ),
    ("a file that exclude leaves out", |p| {
        p.edit("src/notes.md", "excluded", "left out")
    }),
    ("tests", |p| {
        p.write("src/tests/test_one.py", "x");
        p.write("src/deep/tests/test_one.py", "x");
    }),
    ("version control in the code", |p| {
        p.write("src/.git/config", "x")
    }),
    ("new files whose names only begin as a COPY's source", |p| {
        p.write("docker/base/start.sh.orig", "");
        p.write("docker/ds/data2/one", "");
    }),
    ("another way of a link in the code to the same", |p| {
        link(p, "src/link.py", "./jobs/one.py")
    }),
    ("libs that a Makefile left", |p| {
        p.write("src/libs/six-1.17.0.dist-info/RECORD", "");
        p.write("src/libs/six.py", "x");
    }),
    ("CRLF in every Dockerfile", |p| {
        for name in ["base", "py", "ds", "folder", "fetched", "packed", "job"] {
            let path = format!("docker/{name}/Dockerfile");
            p.edit(&path, "\n", "\r\n");
        }
    }),
    ("a Dockerfile elsewhere", |p| {
        rename(p, "docker/base/Dockerfile", "Dockerfile.base");
        p.edit(
            "sparkpack.toml",
            "docker/base/Dockerfile",
            "Dockerfile.base",
        );
    }),
    ("a context elsewhere", |p| {
        rename(p, "folder", "another/place");
        p.edit(
            "sparkpack.toml",
            "context = \"folder\"",
            "context = \"another/place\"",
        );
    }),
    // Names, places and notations in the configuration and the locks.
    ("another registry", |p| {
        p.edit(
            "sparkpack.toml",
            "main = \"registry.example/classes\"",
            "main = \"other.example:5000/team\"",
        )
    }),
    ("a second registry", |p| {
        p.edit(
            "sparkpack.toml",
            "registries.main",
            "registries.prod = \"prod.example/x\"\nregistries.main",
        )
    }),
    ("mirrors", |p| {
        append(
            p,
            "[mirrors]\npython = \"https://mirror.example/simple\"\nregistries.\"docker.io\" = \"mirror.example\"\n",
        )
    }),
    ("formerly", |p| {
        p.edit(
            "sparkpack.toml",
            "exclude =",
            "formerly = [\"old.example/x\"]\nexclude =",
        )
    }),
    ("insecure", |p| {
        p.edit(
            "sparkpack.toml",
            "exclude =",
            "insecure = [\"old.example\"]\nexclude =",
        )
    }),
    ("a certificate", |p| {
        p.write("ca.pem", "");
        p.edit("sparkpack.toml", "exclude =", "ca = \"ca.pem\"\nexclude =");
    }),
    ("the installer", |p| {
        append(p, "[python]\ninstaller = \"pip\"\n")
    }),
    ("the project's name", |p| {
        p.edit(
            "sparkpack.toml",
            "project = \"classes\"",
            "project = \"other\"",
        )
    }),
    ("a byte-order mark in the configuration", |p| {
        let text = p.read("sparkpack.toml");
        p.write("sparkpack.toml", &format!("\u{feff}{text}"));
    }),
    ("CRLF in the configuration", |p| {
        p.edit("sparkpack.toml", "\n", "\r\n")
    }),
    ("comments and white space in the configuration", |p| {
        p.edit("sparkpack.toml", "\n", "  # why\n\n")
    }),
    ("a build argument that nothing declares", |p| {
        p.edit(
            "sparkpack.toml",
            "build-args.LEVEL",
            "build-args.OTHER = \"x\"\nbuild-args.LEVEL",
        )
    }),
    (
        "another name of the root in an argument that only names it",
        |p| {
            p.edit(
                "sparkpack.toml",
                "UNDER = \"registry.example/root:1\"",
                "UNDER = \"mirror.example:5000/root:one\"",
            );
            p.edit(
                "sparkpack.lock",
                "registry.example/root:1",
                "mirror.example:5000/root:one",
            );
        },
    ),
    ("a platform that is the default", |p| {
        p.edit(
            "sparkpack.toml",
            "exclude =",
            "platforms = [\"linux/amd64\"]\nexclude =",
        )
    }),
    ("the name of a source", |p| {
        p.edit("sparkpack.toml", "[sources.tool]", "[sources.instrument]");
        p.edit("sparkpack.toml", "source:tool", "source:instrument");
    }),
    ("where a folder's source lies", |p| {
        rename(p, "tools/tree", "tools/other");
        p.edit("sparkpack.toml", "tools/tree", "tools/other");
    }),
    ("where an archive comes from", |p| {
        p.edit(
            "sparkpack.toml",
            "files.example/archive.tgz",
            "mirror.example/a.tgz",
        );
        p.edit(
            "sparkpack.lock",
            "files.example/archive.tgz",
            "mirror.example/a.tgz",
        );
    }),
    ("where a jar comes from", |p| {
        p.edit("sparkpack.toml", "files.example/jars/", "mirror.example/")
    }),
    ("comments and white space in the lock", |p| {
        p.edit("sparkpack.lock", "\n\n[", "\n\n\n# why\n  [")
    }),
    ("comments and white space in requirements", |p| {
        p.write("requirements.txt", "# why\r\n six == 1.17.0  # pinned\r\n")
    }),
    (
        "an image ID in the lock instead of a registry's digest of the same digits",
        |p| {
            p.edit(
                "sparkpack.lock",
                &format!("digest = \"sha256:{}", classes::digits('2')),
                &format!("local_id = \"sha256:{}", classes::digits('2')),
            );
        },
    ),
];

fn mode(project: &TestProject, path: &str, mode: u32) {
    fs_err::set_permissions(
        project.root().join(path),
        std::fs::Permissions::from_mode(mode),
    )
    .unwrap();
}

fn rename(project: &TestProject, from: &str, to: &str) {
    let to = project.root().join(to);
    fs_err::create_dir_all(to.parent().unwrap()).unwrap();
    fs_err::rename(project.root().join(from), to).unwrap();
}

fn swap(project: &TestProject, one: &str, other: &str) {
    rename(project, one, "swapped");
    rename(project, other, one);
    rename(project, "swapped", other);
}

fn link(project: &TestProject, path: &str, target: &str) {
    let path = project.root().join(path);
    if path.is_symlink() {
        fs_err::remove_file(&path).unwrap();
    }
    symlink(target, path).unwrap();
}

fn lock_wheels(project: &TestProject, file: &str, wheels: &[(&str, char)]) {
    let digits: Vec<String> = wheels
        .iter()
        .map(|(_, digit)| classes::digits(*digit))
        .collect();
    let wheels: Vec<(&str, &str)> = wheels
        .iter()
        .zip(&digits)
        .map(|((name, _), digits)| (*name, digits.as_str()))
        .collect();
    lock_requirements(project, file, classes::SPARK, &wheels);
}

fn revise(project: &TestProject, image: &str, number: u32, reason: &str) {
    let lock = project.read("sparkpack.lock");
    let text = format!("{lock}\n[revisions.{image}]\nnumber = {number}\nreason = {reason:?}\n");
    project.write("sparkpack.lock", &text);
}

fn everywhere(project: &TestProject, change: fn(&str)) {
    for entry in walkdir::WalkDir::new(project.root()).min_depth(1) {
        let entry = entry.unwrap();
        if !entry.path_is_symlink() {
            change(entry.path().to_str().unwrap());
        }
    }
}

fn append(project: &TestProject, text: &str) {
    let old = project.read("sparkpack.toml");
    project.write("sparkpack.toml", &format!("{old}\n{text}"));
}

fn git(project: &TestProject) {
    let script = "cd \"$1\" && git init -q . && git add -A && git -c user.name=a -c user.email=a@example.org commit -qm a";
    program(
        "sh",
        &["-c", script, "sh", project.root().to_str().unwrap()],
    );
}

/// Sets the platforms; the locked wheels fit all of them.
fn platforms(project: &TestProject, platforms: &[&str]) {
    let list = format!("platforms = {platforms:?}\nexclude =");
    project.edit("sparkpack.toml", "exclude =", &list);
    let locked = format!("# platforms: {}\n", platforms.join(" "));
    for lock in ["requirements.lock", "packed.lock"] {
        project.edit(lock, "# platforms: linux/amd64\n", &locked);
    }
}

#[test]
fn the_registry_is_in_the_reference() {
    let project = classes::project();
    project.edit(
        "sparkpack.toml",
        "registry.example/classes",
        "other.example:5000/team",
    );
    let reference = project.reference("job");
    assert!(
        reference.starts_with("other.example:5000/team/job:"),
        "{reference}"
    );
}

/// The same checkout for another user, in another place, time zone and locale, with another umask, without a home.
#[test]
fn another_checkout_on_another_machine_has_the_same_tags() {
    let project = classes::project();
    let wanted = project.succeed(&["tags"]).stdout;
    let folder = tempfile::Builder::new()
        .prefix("with spaces and ü ")
        .tempdir()
        .unwrap();
    let copy = folder.path().join("a/b c/checkout");
    project.check_out(&copy);
    program(
        "chmod",
        &["-R", "u+rwX,g=,o=", folder.path().to_str().unwrap()],
    );
    for (zone, locale) in [
        ("Pacific/Kiritimati", "C"),
        ("America/St_Johns", "tr_TR.UTF-8"),
    ] {
        let mut command = project.command(&["tags"]);
        command
            .current_dir(&copy)
            .env("TZ", zone)
            .env("LANG", locale)
            .env("LC_ALL", locale)
            .env_remove("HOME");
        assert_eq!(run(&mut command).stdout, wanted);
    }
    program(
        "chown",
        &["-R", "65534:65534", folder.path().to_str().unwrap()],
    );
    let binary = folder.path().join("sparkpack");
    fs_err::copy(env!("CARGO_BIN_EXE_sparkpack"), &binary).unwrap();
    let quoted = [
        binary.to_str().unwrap(),
        "-C",
        copy.to_str().unwrap(),
        "tags",
    ];
    let as_nobody = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "env",
        "-i",
    ];
    let printed = program(
        "setpriv",
        &as_nobody.iter().chain(&quoted).collect::<Vec<_>>(),
    );
    assert_eq!(printed, wanted, "as nobody, with an empty environment");
}

#[test]
fn a_plan_needs_no_network_and_no_daemon() {
    let project =
        classes::project().with_variable("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let wanted = tags(&project);
    let binary = env!("CARGO_BIN_EXE_sparkpack");
    let printed = program(
        "unshare",
        &[
            "--net",
            binary,
            "-C",
            project.root().to_str().unwrap(),
            "tags",
        ],
    );
    assert_eq!(parse(&printed), wanted);
}

/// A change that uses variables of its test.
type Change<'a> = &'a dyn Fn(&TestProject);

/// Changing Spark, Python, Java or the ds pins of the built-in recipes moves what depends on them.
#[test]
fn the_chain_of_built_in_recipes_moves_from_where_it_changed() {
    let files = [
        (
            "sparkpack.toml",
            "format = 1\nproject = \"chain\"\nregistries.main = \"registry.example/chain\"\n\n[chains.main]\nspark = \"4.1.4\"\npython = \"3.11\"\nroot = \"registry.example/root:1\"\n\n[chains.main.operator]\nsource = \"operator\"\n\n[sources.operator]\npath = \"operator\"\n\n[images.job]\nsrc = \"src\"\n\n[images.ds]\nrequirements = \"ds.txt\"\n",
        ),
        ("src/main.py", ""),
        ("operator", "#!/bin/sh\n"),
        ("ds.txt", "six==1.16.0\n"),
        ("wheels.sh", ""),
    ];
    let zeros = "0".repeat(64);
    let locked = |spark: &[&str]| {
        let sources = spark.iter().map(|spark| {
            format!("\n[sources.\"pyspark=={spark}\"]\nsha256 = \"sha256:{zeros}\"\n")
        });
        format!(
            "format = 1\n\n[images.\"registry.example/root:1\"]\ndigest = \"sha256:{zeros}\"\n{}",
            sources.collect::<String>()
        )
    };
    let fresh = || {
        let project = TestProject::new(&files);
        project.write("sparkpack.lock", &locked(&["4.1.4", "3.5.9"]));
        lock_requirements(&project, "ds.txt", "4.1.4", &[(SIX_16, &zeros)]);
        project
    };
    let before = tags(&fresh());
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        ["base", "ds", "job", "operator", "py"]
    );
    let changes: [(&str, &str, Change<'_>); 6] = [
        ("Spark", "base ds job operator py", &|p| {
            p.edit("sparkpack.toml", "4.1.4", "3.5.9");
            lock_requirements(p, "ds.txt", "3.5.9", &[(SIX_16, &zeros)]);
        }),
        ("Java", "base ds job operator py", &|p| {
            let python = "python = \"3.11\"";
            p.edit(
                "sparkpack.toml",
                python,
                &format!("{python}\njava = \"21\""),
            );
        }),
        ("the operator", "operator", &|p| {
            p.edit("operator", "sh", "bash")
        }),
        ("the job", "job", &|p| p.write("src/main.py", "x = 1\n")),
        ("a wheel of ds", "ds job", &|p| {
            p.write("ds.txt", "six==1.17.0\n");
            lock_requirements(p, "ds.txt", "4.1.4", &[(SIX_17, &zeros)]);
        }),
        ("a comment in requirements", "", &|p| {
            p.write("ds.txt", "# pinned\r\nsix==1.16.0\r\n")
        }),
    ];
    for (what, wanted, change) in changes {
        let project = fresh();
        change(&project);
        assert_eq!(moved(&before, &project), wanted, "{what}");
    }
}

/// Variations of the command and its environment.
#[test]
fn nothing_around_a_run_moves_a_tag() {
    let project = classes::project();
    let wanted = project.succeed(&["tags"]).stdout;
    let flags: [&[&str]; 4] = [&["-v"], &["-vv"], &["--quiet"], &["-C", "."]];
    for flags in flags {
        let arguments: Vec<&str> = flags.iter().copied().chain(["tags"]).collect();
        assert_eq!(project.succeed(&arguments).stdout, wanted, "{flags:?}");
    }
    for (name, value) in [
        ("HTTP_PROXY", "http://proxy.example:3128"),
        ("https_proxy", "http://proxy.example:3128"),
        ("NO_PROXY", "*"),
        ("SOURCE_DATE_EPOCH", "1"),
        ("DOCKER_BUILDKIT", "0"),
        ("DOCKER_HOST", "tcp://127.0.0.1:1"),
        ("DOCKER_DEFAULT_PLATFORM", "linux/arm64"),
        ("BUILDKIT_PROGRESS", "plain"),
        ("LEVEL", "9"),
        ("PYTHONPATH", "/nowhere"),
        ("RUST_LOG", "trace"),
        ("RUST_BACKTRACE", "full"),
        ("COLUMNS", "1"),
        ("TMPDIR", "/nowhere"),
        ("GIT_DIR", "/nowhere"),
        ("USER", "somebody"),
    ] {
        let mut command = project.command(&["tags"]);
        assert_eq!(
            run(command.env(name, value)).stdout,
            wanted,
            "{name}={value}"
        );
    }
    let mut below = project.command(&["tags"]);
    assert_eq!(
        run(below.current_dir(project.root().join("src/deep"))).stdout,
        wanted,
        "from a folder below"
    );
}

/// The files that a build writes are no inputs of the next run, wherever they lie.
#[test]
fn locks_and_manifests_in_the_code_move_nothing() {
    let project = classes::project();
    rename(&project, "requirements.txt", "src/requirements.txt");
    rename(&project, "kubernetes/job.yml", "src/deploy/job.yml");
    project.edit(
        "sparkpack.toml",
        "\"requirements.txt\"",
        "\"src/requirements.txt\"",
    );
    project.edit("sparkpack.toml", "kubernetes/*.yml", "src/deploy/*.yml");
    fs_err::remove_file(project.root().join("requirements.lock")).unwrap();
    lock_wheels(&project, "src/requirements.txt", &[(classes::SIX, '4')]);
    let before = tags(&project);
    project.edit("src/deploy/job.yml", "unbuilt", "0123456789abcdef");
    let lock = project.read("src/requirements.lock");
    project.write("src/requirements.lock", &format!("{lock}\n"));
    assert_eq!(tags(&project), before);
    project.write("src/requirements.txt", "six==1.17.0\n\n");
    assert_ne!(
        tags(&project)["job"],
        before["job"],
        "what a person wrote is packed"
    );
}

#[test]
fn another_name_is_another_image() {
    let project = classes::project();
    let before = tags(&project);
    project.edit("sparkpack.toml", "[images.packed]", "[images.wrapped]");
    let after = tags(&project);
    assert_ne!(before["packed"], after["wrapped"], "the name is a label");
    assert_eq!(before["job"], after["job"]);
}

#[test]
fn two_reasons_and_two_numbers_are_two_tags() {
    let tag = |number, reason| {
        let project = classes::project();
        revise(&project, "job", number, reason);
        tags(&project)["job"].clone()
    };
    let all = [
        tag(1, "a"),
        tag(1, "b"),
        tag(2, "a"),
        tag(12, "a"),
        tag(1, "2a"),
    ];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}

/// The tags of a whole project: within format 1 they never change, in any version of sparkpack. Another program has
/// computed the same tags from the description at the head of `src/plan/record.rs`.
#[test]
fn golden_tags_of_format_1() {
    let found = tags(&classes::project());
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(name, tag)| (name.as_str(), tag.as_str()))
        .collect();
    let published = [
        ("base", "849ddbdd25324c20"),
        ("ds", "de1e86a5c8ff534a"),
        ("fetched", "775baa01dc9dae6b"),
        ("folder", "309ebf430ffca669"),
        ("job", "9dfe1e0a08c51cb4"),
        ("packed", "442b3e250ff103e5"),
        ("py", "38dc5fe6b08eaef5"),
    ];
    assert_eq!(found, published);
}

/// The same for the first published built-in recipes: the lock names them, even if there are newer ones.
#[test]
fn golden_tags_of_the_first_built_in_recipes() {
    let zeros = classes::digits('0');
    let configuration = "format = 1\nproject = \"chain\"\nregistries.main = \"registry.example/chain\"\n\n[chains.main]\nspark = \"4.1.4\"\npython = \"3.11\"\n\n[chains.main.operator]\nimage = \"registry.example/operator:1\"\n\n[images.job]\nsrc = \"src\"\n\n[images.ds]\nrequirements = \"ds.txt\"\n";
    let lock = format!(
        "format = 1\n\n[recipes]\nbase = \"sha256:590ec803e5abc198bbd3a6683f95b41dd26a1d185661c63d48567ac965839943\"\noperator = \"sha256:5bc1ae96253d781199c5dd4b1a91a12e5a3275748623e6fed224d0b66931b8c2\"\npy = \"sha256:4422ebc43fe593ce980f7c9c46d9171a1873b7e99f63673f37a45d272bad3c6a\"\n\n\
         [images.\"debian:bookworm-slim\"]\ndigest = \"sha256:{zeros}\"\n\n[images.\"registry.example/operator:1\"]\ndigest = \"sha256:{zeros}\"\n\n[sources.\"pyspark==4.1.4\"]\nsha256 = \"sha256:{zeros}\"\n"
    );
    let project = TestProject::new(&[
        ("sparkpack.toml", configuration),
        ("sparkpack.lock", &lock),
        ("src/main.py", ""),
        ("ds.txt", "six==1.16.0\n"),
    ]);
    lock_requirements(&project, "ds.txt", "4.1.4", &[(SIX_16, &zeros)]);
    let found = tags(&project);
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(name, tag)| (name.as_str(), tag.as_str()))
        .collect();
    let published = [
        ("base", "2e04876970e8eb63"),
        ("ds", "32b51d081689c837"),
        ("job", "9de0273cf688cd8f"),
        ("operator", "49d6847938136556"),
        ("py", "3a30be61ff4a98cb"),
    ];
    assert_eq!(found, published);
}
