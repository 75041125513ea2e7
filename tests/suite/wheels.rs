//! Wheels that are not what they should be, from an index of the test's own: each is refused by name, or is harmless, and
//! nothing outside of the project is read or written.

use std::{
    fmt::Write as _,
    io::{Cursor, Write as _},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sparkpack::image::Digest;
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::support::{Index, TestProject};

const BOTH: [&str; 2] = ["uv", "pip"];

fn project(index: &Index, installer: &str, requirements: &str) -> TestProject {
    let project = TestProject::with_index(index, installer, "requirements.txt", "");
    project.write("requirements.txt", requirements);
    project
}

/// A member of an archive: its path, its bytes, and whether it is a symbolic link.
pub(crate) type Member<'m> = (&'m str, &'m [u8], bool);

/// The archive of `NAME-1.0-py3-none-any.whl` with a module and these members; its RECORD lists all of them.
pub(crate) fn wheel(name: &str, members: &[Member<'_>]) -> Vec<u8> {
    archive(name, "", members)
}

/// The same without more members, for a range of Pythons.
pub(crate) fn wheel_for_python(name: &str, range: &str) -> Vec<u8> {
    archive(name, &format!("Requires-Python: {range}\n"), &[])
}

fn archive(name: &str, about: &str, members: &[Member<'_>]) -> Vec<u8> {
    let more = about;
    let module = format!("{name}.py");
    let information = format!("{name}-1.0.dist-info");
    let [metadata, about, record] =
        ["METADATA", "WHEEL", "RECORD"].map(|file| format!("{information}/{file}"));
    let text = format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{more}");
    let tags = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let mut all: Vec<Member<'_>> = vec![
        (&module, b"VALUE = 1\n", false),
        (&metadata, text.as_bytes(), false),
        (&about, tags, false),
    ];
    all.extend(members);
    let mut listed = String::new();
    for (path, bytes, _) in &all {
        let digest = hex::decode(Digest::of(bytes).hex()).unwrap();
        let digest = URL_SAFE_NO_PAD.encode(digest);
        writeln!(listed, "{path},sha256={digest},{}", bytes.len()).unwrap();
    }
    writeln!(listed, "{record},,").unwrap();
    all.push((&record, listed.as_bytes(), false));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes, is_link) in all {
        let options =
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        if is_link {
            let target = std::str::from_utf8(bytes).unwrap();
            archive.add_symlink(path, target, options).unwrap();
        } else {
            archive.start_file(path, options).unwrap();
            archive.write_all(bytes).unwrap();
        }
    }
    archive.finish().unwrap().into_inner()
}

/// The bytes with each `old` of the same length replaced.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8], most: usize) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = bytes.to_vec();
    let mut count = 0;
    for at in 0..=bytes.len() - old.len() {
        if count < most && bytes[at..].starts_with(old) {
            bytes[at..at + old.len()].copy_from_slice(new);
            count += 1;
        }
    }
    assert!(count > 0);
    bytes
}

/// The archive with another name of the same length in the heads of a member, but not in its RECORD.
fn renamed(archive: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut bytes = archive.to_vec();
    for at in 46..archive.len() - old.len() {
        let heads = [(30, b"PK\x03\x04"), (46, b"PK\x01\x02")];
        let mut heads = heads.iter();
        if archive[at..].starts_with(old)
            && heads.any(|(before, sign)| archive[at - before..].starts_with(*sign))
        {
            bytes[at..at + new.len()].copy_from_slice(new);
        }
    }
    assert_ne!(bytes, archive);
    bytes
}

fn serve(index: &Index, name: &str, bytes: &[u8]) {
    let path = format!(
        "/simple/{}/{name}-1.0-py3-none-any.whl",
        name.replace('_', "-")
    );
    index.put(&path, bytes);
}

/// What `package` says of a requirement that it refuses, after a check that nothing lies where nothing may.
fn refused(index: &Index, installer: &str, name: &str) -> String {
    let project = project(index, installer, &format!("{}\n", name.replace('_', "-")));
    let failure = project.failure(&["package"]);
    assert!(!project.root().join("dist/libs.zip").exists(), "{failure}");
    for folder in [project.root(), project.cache().to_owned(), project.home()] {
        for file in walkdir::WalkDir::new(folder) {
            let file = file.unwrap();
            // The installer's own cache is its own affair, below the folder of the wheel that it unpacks there.
            assert!(
                !file.file_name().to_string_lossy().starts_with("evil")
                    || file.path().to_string_lossy().contains("archive-v"),
                "{}",
                file.path().display()
            );
        }
    }
    failure
}

#[test]
fn a_wheel_that_leads_out_of_itself_is_refused_by_name() {
    let index = Index::new();
    let outside = tempfile::tempdir().unwrap();
    let absolute = outside.path().join("evil.py");
    for (name, path) in [
        ("spk_up", "../evil.py"),
        ("spk_far_up", "../../../../../../evil.py"),
        ("spk_through", "spk/../../evil.py"),
        ("spk_absolute", absolute.to_str().unwrap()),
    ] {
        serve(&index, name, &wheel(name, &[(path, b"X = 1\n", false)]));
        for installer in BOTH {
            let failure = refused(&index, installer, name);
            let wanted = format!("error[E727]: `{name}-1.0-py3-none-any.whl` is no sound wheel: `");
            assert!(failure.contains(&wanted), "{installer}: {failure}");
            assert!(failure.contains("evil.py` lies outside of it"), "{failure}");
        }
    }
    assert!(!absolute.exists());
}

/// A link is no link any more: what it leads to is neither read nor written, whatever comes behind it.
#[test]
fn a_link_in_a_wheel_leads_nowhere() {
    let index = Index::new();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.txt");
    fs_err::write(&secret, "canary").unwrap();
    let folder = outside.path().to_str().unwrap();
    let members = [
        ("spk_link.txt", secret.to_str().unwrap().as_bytes(), true),
        ("spk_away", folder.as_bytes(), true),
    ];
    serve(&index, "spk_links", &wheel("spk_links", &members));
    for installer in BOTH {
        let project = project(&index, installer, "spk-links\n");
        let run = project.run(&["package"]);
        let mut packed = String::new();
        if run.code == 0 {
            for file in walkdir::WalkDir::new(project.root().join("dist")) {
                let file = file.unwrap();
                assert!(!file.path_is_symlink(), "{}", file.path().display());
                if file.file_type().is_file() {
                    let bytes = fs_err::read(file.path()).unwrap();
                    packed += &String::from_utf8_lossy(&bytes);
                }
            }
        } else {
            packed = run.stderr;
            assert!(packed.contains("spk_links-1.0"), "{packed}");
        }
        assert!(!packed.contains("canary"), "{installer}");
    }
    assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_no_sound_archive_is_refused_by_name() {
    let index = Index::new();
    let sound = |name: &str| wheel(name, &[]);
    let cut = |name: &str| {
        let whole = sound(name);
        whole[..whole.len() / 2].to_vec()
    };
    // The name at the head of the first member is another than in the directory at the end.
    let two_names = replaced(&sound("spk_names"), b"spk_names.py", b"SPK_NAMES.py", 1);
    let damaged = replaced(&sound("spk_crc"), b"VALUE = 1", b"VALUE = 2", 1);
    let files = [
        (
            "spk_cut",
            cut("spk_cut"),
            "another file|extraction|Bad uncompressed size|ZIP",
        ),
        ("spk_page", b"<html>sign in</html>".to_vec(), "another file"),
        ("spk_empty", Vec::new(), "another file"),
        ("spk_names", two_names, "SPK_NAMES.py"),
        ("spk_crc", damaged, "CRC"),
    ];
    for (name, bytes, reason) in &files {
        serve(&index, name, bytes);
        for installer in BOTH {
            let failure = refused(&index, installer, name);
            assert!(failure.starts_with("exit 2\n"), "{failure}");
            let error = failure.lines().find(|line| line.starts_with("error["));
            let error = error.unwrap();
            assert!(error.starts_with("error[E727]: "), "{installer}: {failure}");
            let by_pin = format!("`{}==1.0` is no sound wheel: ", name.replace('_', "-"));
            let by_file = format!("`{name}-1.0-py3-none-any.whl` is no sound wheel: ");
            assert!(
                error.contains(&by_pin) || error.contains(&by_file),
                "{error}"
            );
            assert!(
                reason.split('|').any(|reason| error.contains(reason)),
                "{installer}: {error}"
            );
            assert!(
                failure.contains("hint: run it again; if it stays so"),
                "{failure}"
            );
        }
    }
}

/// uv refuses more than pip does; of pip the content is what the last member of a path says, in every run the same.
#[test]
fn two_members_of_one_path_and_bytes_behind_an_archive() {
    let index = Index::new();
    // The zip writer refuses a second member of one path, so that its name is put in afterwards.
    let twice = wheel("spk_twice", &[("spk_twicf.py", b"VALUE = 2\n", false)]);
    let twice = renamed(&twice, b"spk_twicf.py", b"spk_twice.py");
    serve(&index, "spk_twice", &twice);
    let behind = [wheel("spk_behind", &[]), vec![b'x'; 100]].concat();
    serve(&index, "spk_behind", &behind);
    for name in ["spk_twice", "spk_behind"] {
        let failure = refused(&index, "uv", name);
        let wanted =
            format!("error[E727]: `{name}-1.0-py3-none-any.whl` is no sound wheel: ZIP file ");
        assert!(failure.contains(&wanted), "{failure}");
        let line = format!("{}\n", name.replace('_', "-"));
        let packed = [(); 2].map(|()| {
            let project = project(&index, "pip", &line);
            project.succeed(&["package"]);
            fs_err::read(project.root().join("dist/libs.zip")).unwrap()
        });
        assert!(packed[0] == packed[1], "{name}");
    }
}

/// Names that other systems hold to be one are two in an image, and both are packed with their own content.
#[test]
fn names_that_differ_by_case_or_by_form_are_kept_apart() {
    let index = Index::new();
    let members = [
        ("spk_case/Aa.py", &b"VALUE = 'Aa'\n"[..], false),
        ("spk_case/aa.py", b"VALUE = 'aa'\n", false),
        ("spk_case/\u{e9}.py", b"VALUE = 'one'\n", false),
        ("spk_case/e\u{301}.py", b"VALUE = 'two'\n", false),
    ];
    serve(&index, "spk_case", &wheel("spk_case", &members));
    for installer in BOTH {
        let project = project(&index, installer, "spk-case\n");
        project.succeed(&["package"]);
        let archive = fs_err::File::open(project.root().join("dist/libs.zip")).unwrap();
        let mut archive = zip::ZipArchive::new(archive).unwrap();
        for (path, bytes, _) in members {
            let mut found = Vec::new();
            std::io::copy(&mut archive.by_name(path).unwrap(), &mut found).unwrap();
            assert_eq!(found, bytes, "{installer}: {path}");
        }
    }
}

/// A wheel that the index no longer serves as it was locked is not installed, and nothing of it lies in `dist`.
#[test]
fn another_file_under_the_same_version_is_not_taken() {
    let index = Index::new();
    serve(&index, "spk_other", &wheel("spk_other", &[]));
    for installer in BOTH {
        let first = project(&index, installer, "spk-other\n");
        first.succeed(&["package"]);
        let lock = first.read("requirements.lock");
        let changed = wheel("spk_other", &[("evil.py", b"X = 1\n", false)]);
        let before = index.bytes("/simple/spk-other/spk_other-1.0-py3-none-any.whl");
        serve(&index, "spk_other", &changed);
        let second = project(&index, installer, "spk-other\n");
        second.write("requirements.lock", &lock);
        let failure = second.failure(&["package", "--locked"]);
        assert!(failure.contains("error[E707]: "), "{installer}: {failure}");
        assert!(failure.contains(Digest::of(&changed).hex()), "{failure}");
        assert!(!second.root().join("dist/libs.zip").exists());
        assert_eq!(second.read("requirements.lock"), lock);
        serve(&index, "spk_other", &before);
    }
}

/// An image for amd64 takes no wheel for arm64, and none for another system.
#[test]
fn wheels_of_other_platforms_are_named_with_what_is_wanted() {
    let index = Index::new();
    for stem in [
        "spk_arm-1.0-cp311-cp311-manylinux2014_aarch64",
        "spk_mac-1.0-cp311-cp311-macosx_11_0_arm64",
        "spk_windows-1.0-cp311-cp311-win_amd64",
        "spk_musl-1.0-cp311-cp311-musllinux_1_2_x86_64",
        "spk_new-1.0-cp313-cp313-manylinux2014_x86_64",
    ] {
        index.add(stem, &[]);
        let mut parts = stem.split('-');
        let name = parts.next().unwrap();
        let tag = parts.next_back().unwrap();
        for installer in BOTH {
            let failure = refused(&index, installer, name);
            let wanted = format!(
                "error[E705]: requirements.txt:1:1: `{}",
                name.replace('_', "-")
            );
            assert!(failure.contains(&wanted), "{installer}: {failure}");
            let image = "for Python 3.11 on linux/amd64 with glibc 2.28; there is `";
            assert!(failure.contains(image), "{installer}: {failure}");
            assert!(
                failure.contains(tag) || failure.contains("`cp313`"),
                "{failure}"
            );
            assert!(!failure.contains("requirements.lock written"), "{failure}");
        }
    }
}

#[test]
fn the_indexes_are_not_asked_about_wheels_that_uv_has() {
    let index = Index::new();
    index.add("spk_app-1.0-py3-none-any", &["spk-dep"]);
    index.add("spk_dep-1.0-py3-none-any", &[]);
    let project = project(&index, "uv", "spk-app\n");
    project.succeed(&["package"]);
    let asked = index.asked();
    let files = project.files();
    fs_err::remove_dir_all(project.cache()).unwrap();
    fs_err::remove_dir_all(project.root().join("dist")).unwrap();
    project.succeed(&["package"]);
    assert_eq!(index.asked(), asked, "uv had both");
    assert_eq!(project.files(), files);
    // One of them is new to it.
    index.add("spk_dep-1.1-py3-none-any", &[]);
    fs_err::remove_file(project.root().join("requirements.lock")).unwrap();
    project.succeed(&["package"]);
    let lock = project.read("requirements.lock");
    assert!(lock.contains("spk-dep==1.1"), "{lock}");
}
