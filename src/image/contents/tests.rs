//! Images as they are in use, each made small: what their layers have, and what is found in them.

use std::io::Write as _;

use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::json;

use super::{Distribution, LayerScanner, Libc, PythonFacts, Tree, facts::ContentFacts};
use crate::image::{Digest, ImageConfig, ImageIndex, Platform};

/// One entry of a layer.
enum Entry<'a> {
    File(&'a str, &'a [u8]),
    Folder(&'a str, u32),
    Link(&'a str, &'a str),
    Hard(&'a str, &'a str),
}
use Entry::{File, Folder, Hard, Link};

/// The beginning of a program for amd64 that the GNU C library or musl loads.
const PROGRAM: &[u8] =
    b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0 /lib64/ld-linux-x86-64.so.2\0";
const MUSL: &[u8] =
    b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0 /lib/ld-musl-x86_64.so.1\0";

const ENTRYPOINT: &[u8] =
    b"#!/bin/bash\ncase \"$1\" in\n  driver)\n  ;;\n  executor)\n  ;;\nesac\n";

fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(0);
        match entry {
            File(path, content) => {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, *content).unwrap();
            }
            Folder(path, mode) => {
                header.set_mode(*mode);
                header.set_entry_type(tar::EntryType::Directory);
                builder
                    .append_data(&mut header, path, std::io::empty())
                    .unwrap();
            }
            Link(path, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                builder.append_link(&mut header, path, target).unwrap();
            }
            Hard(path, target) => {
                header.set_entry_type(tar::EntryType::Link);
                builder.append_link(&mut header, path, target).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

fn gzip(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

fn config(run: &serde_json::Value) -> ImageConfig {
    let config = json!({
        "os": "linux", "architecture": "amd64", "config": run,
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    ImageConfig::parse(config.to_string().as_bytes()).unwrap()
}

/// The facts about an image with these settings and these layers.
fn facts_of_bytes(run: &serde_json::Value, layers: &[Vec<u8>]) -> ContentFacts {
    let config = config(run);
    let scanner = LayerScanner::new(&config).unwrap();
    let mut tree = Tree::default();
    for layer in layers {
        tree.add(scanner.scan(layer.as_slice()).unwrap());
    }
    ContentFacts::of(&config, &tree, None, &[]).unwrap()
}

fn facts(run: &serde_json::Value, layers: &[&[Entry<'_>]]) -> ContentFacts {
    let layers: Vec<Vec<u8>> = layers.iter().map(|entries| gzip(&tar(entries))).collect();
    facts_of_bytes(run, &layers)
}

fn python(facts: &ContentFacts) -> &PythonFacts {
    facts.python.as_ref().unwrap()
}

fn named(facts: &ContentFacts) -> Vec<(&str, &str, bool)> {
    let found = facts.distributions.iter();
    found
        .map(|one| (&*one.name, &*one.version, one.is_requested))
        .collect()
}

/// The files of `apache/spark` but for its Python.
fn spark(home: &str, version: &str) -> Vec<(String, &'static [u8])> {
    let file = |path: &str| (format!("{home}/{path}"), &b""[..]);
    vec![
        file("RELEASE"),
        file(&format!("jars/spark-core_2.12-{version}.jar")),
        file("jars/scala-library-2.12.18.jar"),
        file("python/pyspark/__init__.py"),
        file("python/lib/pyspark.zip"),
        file("python/lib/py4j-0.10.9.7-src.zip"),
    ]
}

fn files<'a>(files: &'a [(String, &'static [u8])]) -> Vec<Entry<'a>> {
    let files = files.iter();
    files.map(|(path, content)| File(path, content)).collect()
}

/// Fixture 1.
#[test]
fn attestations_are_no_platform() {
    let entry = |os: &str, architecture: &str, text: &str| {
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": Digest::of(text.as_bytes()), "size": 1,
            "platform": {"os": os, "architecture": architecture},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
        })
    };
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            entry("unknown", "unknown", "one"), entry("unknown", "unknown", "two"),
            entry("linux", "amd64", "amd"), entry("linux", "arm64", "arm"),
        ],
    });
    let index = ImageIndex::parse(index.to_string().as_bytes()).unwrap();
    let platforms = ["linux/amd64", "linux/arm64"].map(|text| text.parse::<Platform>().unwrap());
    assert!(index.by_platform().into_keys().eq(platforms.clone()));
    for (platform, text) in platforms.iter().zip(["amd", "arm"]) {
        let chosen = index.choose(platform).unwrap();
        assert_eq!(chosen.digest, Digest::of(text.as_bytes()));
    }
}

/// The files of `apache/spark` besides Spark.
fn system_files() -> Vec<Entry<'static>> {
    vec![
        Link("lib", "usr/lib"),
        File("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", PROGRAM),
        File(
            "usr/lib/x86_64-linux-gnu/libc.so.6",
            b"\0GNU C Library (Ubuntu GLIBC 2.35-0ubuntu3.8) stable release version 2.35.\n",
        ),
        File("etc/os-release", b"ID=ubuntu\nVERSION_ID=\"22.04\"\n"),
        File("opt/java/openjdk/bin/java", PROGRAM),
        File(
            "opt/java/openjdk/release",
            b"IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"17.0.12\"\n",
        ),
        File("opt/entrypoint.sh", ENTRYPOINT),
    ]
}

/// A layer with Ubuntu's Python and packages.
fn python_layer() -> Vec<Entry<'static>> {
    vec![
        File("usr/bin/python3.10", PROGRAM),
        Link("usr/bin/python3", "python3.10"),
        File(
            "usr/local/lib/python3.10/dist-packages/numpy-1.26.4.dist-info/METADATA",
            b"Metadata-Version: 2.1\nName: numpy\nVersion: 1.26.4\n\nVersion: in the text\n",
        ),
        File("usr/local/lib/python3.10/dist-packages/numpy-1.26.4.dist-info/REQUESTED", b""),
        File(
            "usr/local/lib/python3.10/dist-packages/pandas-2.2.0.dist-info/METADATA",
            b"Name: pandas\r\nVersion: 2.2.0\r\nRequires-Dist: numpy<2,>=1.22.4; python_version < \"3.11\"\r\nRequires-Dist: hypothesis; extra == \"test\"\r\n\r\ntext",
        ),
        File("usr/lib/python3/dist-packages/six-1.16.0.egg-info/PKG-INFO", b"Name: six\nVersion: 1.16.0\n"),
        File("usr/lib/python3/dist-packages/numpy-1.21.5.egg-info", b"Name: numpy\nVersion: 1.21.5\n"),
        // Those of another Python.
        File("usr/lib/python3.11/site-packages/attrs-1.dist-info/METADATA", b"Name: attrs\nVersion: 1\n"),
    ]
}

/// Fixture 2, with all that `apache/spark` has.
#[test]
fn apaches_image_is_understood() {
    let below = spark("opt/spark", "3.5.1");
    let mut lower = files(&below);
    lower.extend(system_files());
    let run = json!({
        "User": "spark", "Entrypoint": ["/opt/entrypoint.sh"], "WorkingDir": "/opt/spark/work-dir",
        "Env": ["PATH=/opt/java/openjdk/bin:/usr/bin:/bin", "JAVA_HOME=/opt/java/openjdk",
                "JAVA_VERSION=jdk-17.0.12+7", "SPARK_HOME=/opt/spark"],
    });
    let facts = facts(&run, &[&lower, &python_layer()]);
    let spark = facts.spark.as_ref().unwrap();
    assert_eq!(
        (&*spark.version, &*spark.scala, &*spark.suffix),
        ("3.5.1", "2.12", "")
    );
    assert_eq!(
        (&*spark.home, &*spark.jars),
        ("/opt/spark", "/opt/spark/jars")
    );
    assert_eq!(
        spark.python_path,
        [
            "/opt/spark/python",
            "/opt/spark/python/lib/py4j-0.10.9.7-src.zip"
        ]
    );
    let java = facts.java.as_ref().unwrap();
    assert_eq!(
        (&*java.home, java.version.as_deref()),
        ("/opt/java/openjdk", Some("17"))
    );
    assert_eq!(python(&facts).program, "/usr/bin/python3.10");
    assert_eq!(python(&facts).version, Some((3, 10)));
    assert_eq!(
        python(&facts).site_packages,
        [
            "/usr/local/lib/python3.10/dist-packages",
            "/usr/lib/python3/dist-packages"
        ]
    );
    assert_eq!(
        named(&facts),
        [
            ("numpy", "1.26.4", true),
            ("pandas", "2.2.0", false),
            ("six", "1.16.0", false)
        ]
    );
    let pandas: &Distribution = &facts.distributions[1];
    assert!(pandas.requires.iter().eq(["numpy"]), "{pandas:?}");
    assert_eq!(facts.libc, Libc::Glibc(Some((2, 35))));
    assert_eq!(facts.system.as_deref(), Some("ubuntu 22.04"));
    assert_eq!((facts.user.as_str(), facts.knows_roles), ("spark", true));
    assert_eq!(facts.program.as_ref().unwrap().architecture(), "amd64");
    assert_eq!(facts.in_the_way, None);
}

/// Fixture 3.
#[test]
fn pyspark_without_a_python_is_no_python() {
    let below = spark("opt/spark", "4.0.1");
    let facts = facts(&json!({"Env": ["PATH=/a:/b"]}), &[&files(&below)]);
    assert_eq!(facts.spark.as_ref().unwrap().version, "4.0.1");
    let said = facts.python.unwrap_err();
    assert_eq!(said, "`python3` is in no folder of its `PATH` (/a:/b)");
    assert!(facts.distributions.is_empty());
}

/// Fixture 4.
#[test]
fn what_a_later_layer_deletes_is_gone() {
    let lower = [
        File("usr/lib/jvm/jre-11/bin/java", PROGRAM),
        File("usr/lib/jvm/jre-11/release", b"JAVA_VERSION=\"11.0.20\"\n"),
        File("usr/lib/jvm/jre-110/bin/java", PROGRAM),
    ];
    let upper = [
        File("usr/lib/jvm/.wh.jre-11", b""),
        File("usr/lib/jvm/temurin-17-jdk/bin/java", PROGRAM),
        File(
            "usr/lib/jvm/temurin-17-jdk/release",
            b"JAVA_VERSION=\"17.0.2\"\n",
        ),
    ];
    let of = |home: &str| {
        let run = json!({"Env": [format!("JAVA_HOME={home}"), "PATH=/usr/lib/jvm/temurin-17-jdk/bin".to_owned()]});
        facts(&run, &[&lower, &upper]).java.unwrap()
    };
    for home in ["/usr/lib/jvm/temurin-17-jdk", "/usr/lib/jvm/jre-11"] {
        let java = of(home);
        assert_eq!(java.home, "/usr/lib/jvm/temurin-17-jdk", "{home}");
        assert_eq!(java.version.as_deref(), Some("17"));
    }
    // Another folder whose name begins like the deleted one stays, and its name tells the version.
    assert_eq!(of("/usr/lib/jvm/jre-110").version.as_deref(), Some("110"));
}

/// Fixture 5.
#[test]
fn an_opaque_folder_hides_only_what_is_below_its_layer() {
    let lower = [File("opt/spark/jars/spark-core_2.12-3.4.0.jar", b"")];
    let upper = [
        File("opt/spark/jars/spark-core_2.13-3.5.0.jar", b""),
        File("opt/spark/jars/.wh..wh..opq", b""),
    ];
    let facts = facts(&json!({}), &[&lower, &upper]);
    let spark = facts.spark.unwrap();
    assert_eq!((&*spark.version, &*spark.scala), ("3.5.0", "2.13"));
    assert!(spark.others.is_empty());
}

/// Fixture 6.
#[test]
fn links_lead_to_spark_and_the_first_python_on_the_path_counts() {
    let home = "usr/local/spark-3.5.0-bin-hadoop3";
    let below = spark(home, "3.5.0");
    let mut lower = files(&below);
    lower.extend([
        Link("usr/local/spark", "spark-3.5.0-bin-hadoop3"),
        File("usr/bin/python3.12", PROGRAM),
        Link("usr/bin/python3", "python3.12"),
        File("opt/conda/bin/python3.13", PROGRAM),
        Hard("opt/conda/bin/python3", "opt/conda/bin/python3.13"),
        File("opt/conda/conda-meta/python-3.13.1-h9ebbce0_0.json", b"{}"),
        Folder("opt/conda/lib/python3.13/site-packages", 0o755),
        File("usr/lib/jvm/java-21-openjdk-amd64/bin/java", PROGRAM),
        Link("usr/bin/java", "/etc/alternatives/java"),
        Link(
            "etc/alternatives/java",
            "/usr/lib/jvm/java-21-openjdk-amd64/bin/java",
        ),
    ]);
    let run = json!({"Env": ["SPARK_HOME=/usr/local/spark", "PATH=/opt/conda/bin:/usr/bin"]});
    let facts = facts(&run, &[&lower]);
    let spark = facts.spark.as_ref().unwrap();
    assert_eq!(spark.home, "/usr/local/spark");
    assert_eq!(spark.jars, format!("/{home}/jars"));
    assert_eq!(spark.python_path[0], "/usr/local/spark/python");
    assert_eq!(python(&facts).version, Some((3, 13)));
    assert_eq!(
        python(&facts).site_packages,
        ["/opt/conda/lib/python3.13/site-packages"]
    );
    assert_eq!(facts.java.unwrap().version.as_deref(), Some("21"));
}

/// Fixture 7.
#[test]
fn the_named_spark_wins_over_one_in_a_virtual_environment() {
    let below = spark("opt/spark", "3.5.1");
    let site = "app/.venv/lib/python3.10/site-packages";
    let other = format!("{site}/pyspark/jars/spark-core_2.13-4.0.0.jar");
    let of_environment = format!("{site}/attrs-23.1.0.dist-info/METADATA");
    let metadata = b"Name: attrs\nVersion: 23.1.0\n";
    let with = |cfg: &'static [u8]| {
        let mut lower = files(&below);
        lower.extend([
            File("usr/bin/python3.10", PROGRAM),
            Link("app/.venv/bin/python", "/usr/bin/python3.10"),
            Link("app/.venv/bin/python3", "python"),
            File("app/.venv/pyvenv.cfg", cfg),
            File(&other, b""),
            File(&of_environment, metadata),
            File(
                "usr/lib/python3/dist-packages/six-1.16.0.dist-info/METADATA",
                b"Name: six\nVersion: 1.16.0\n",
            ),
        ]);
        let run = json!({"Env": ["SPARK_HOME=/opt/spark", "PATH=/app/.venv/bin:/usr/bin"]});
        facts(&run, &[&lower])
    };
    let alone = with(b"home = /usr/bin\nversion_info = 3.10.12\nuv = 0.5\n");
    let spark = alone.spark.as_ref().unwrap();
    assert_eq!((&*spark.version, spark.others.len()), ("3.5.1", 1));
    assert_eq!(python(&alone).version, Some((3, 10)));
    assert_eq!(named(&alone), [("attrs", "23.1.0", false)]);
    let both = with(b"home = /usr/bin\nversion = 3.10.12\ninclude-system-site-packages = true\n");
    assert_eq!(named(&both).len(), 2);
    let gone = with(b"home = /srv/uv/python/bin\n");
    assert!(gone.python.unwrap_err().contains("which is not there"));
}

/// Fixture 8.
#[test]
fn a_python_path_is_told_as_it_is() {
    let value = "/opt/spark/python/lib/pyspark.zip:/opt/spark/python/lib/py4j-*.zip:";
    let lower = [
        File("opt/spark/jars/spark-core_2.11-2.4.8.jar", b""),
        File("opt/spark/python/lib/pyspark.zip", b""),
        File("opt/spark/python/lib/py4j-0.10.7-src.zip", b""),
    ];
    let facts = facts(&json!({"Env": [format!("PYTHONPATH={value}")]}), &[&lower]);
    assert_eq!(facts.python_path.as_deref(), Some(value));
    assert_eq!(
        facts.spark.unwrap().python_path,
        [
            "/opt/spark/python/lib/pyspark.zip",
            "/opt/spark/python/lib/py4j-0.10.7-src.zip"
        ]
    );
}

/// A daemon makes such a folder with the mode 0.
#[test]
fn a_folder_without_a_mode_is_closed() {
    let layer = |mode: &[u8; 8]| {
        let mut layer = tar(&[
            Folder("home", 0o755),
            File("home/python3.9", PROGRAM),
            Link("usr/bin/python3", "/home/python3.9"),
        ]);
        let mut header = tar::Header::from_byte_slice(&layer[..512]).clone();
        header.as_old_mut().mode = *mode;
        header.set_cksum();
        layer[..512].copy_from_slice(header.as_bytes());
        layer
    };
    let run = json!({"User": "185"});
    for (mode, is_reached) in [(b"0000755\0", true), (&[0; 8], false), (b"        ", false)] {
        let facts = facts_of_bytes(&run, &[layer(mode)]);
        assert_eq!(facts.python.is_ok(), is_reached, "{mode:?}");
    }
}

/// Fixture 9.
#[test]
fn users_without_a_line_and_links_in_a_circle_are_no_failure() {
    let lower = [
        File(
            "etc/passwd",
            b"root:x:0:0::/root:/bin/sh\nhadoop:x:10000:10000::/home/hadoop:/bin/sh\n",
        ),
        Folder("home/hadoop", 0o700),
        File("home/hadoop/bin/python3.9", PROGRAM),
        Link("usr/bin/python3", "/home/hadoop/bin/python3.9"),
        Link("etc/alternatives/jre", "/usr/lib/jvm/jre"),
        Link("usr/lib/jvm/jre", "/etc/alternatives/jre"),
        Link("usr/bin/java", "/etc/alternatives/jre/bin/java"),
    ];
    for (user, is_reached) in [
        ("1001", false),
        ("hadoop:hadoop", false),
        ("", true),
        ("0", true),
    ] {
        let run = json!({"User": user, "Env": ["JAVA_HOME=/etc/alternatives/jre"]});
        let facts = facts(&run, &[&lower]);
        assert_eq!((facts.user.as_str(), &facts.java), (user, &None));
        // The folder belongs to root here, so that only root may enter it.
        assert_eq!(
            facts.python.is_ok(),
            is_reached,
            "{user}: {:?}",
            facts.python
        );
    }
}

/// Fixture 10.
#[test]
fn an_image_without_spark_is_read_whatever_its_compression_is() {
    let entries = [
        File("opt/dataproc/conda/bin/python3.11", MUSL),
        Link("usr/bin/python3", "/opt/dataproc/conda/bin/python3.11"),
        File("lib/ld-musl-x86_64.so.1", MUSL),
    ];
    let tar = tar(&entries);
    let zstd = compress_to_vec(tar.as_slice(), CompressionLevel::Fastest);
    let (first, second) = tar.split_at(700);
    let frames = [first, second].map(|part| compress_to_vec(part, CompressionLevel::Fastest));
    // A frame that holds no data is between the two.
    let skipped = b"\x50\x2a\x4d\x18\x04\0\0\0skip";
    let chunked = [&frames[0][..], skipped, &frames[1]].concat();
    let run = json!({"User": "1099"});
    let plain = facts_of_bytes(&run, std::slice::from_ref(&tar));
    assert_eq!((&plain.spark, plain.libc), (&None, Libc::Musl));
    assert_eq!(python(&plain).version, Some((3, 11)));
    for layer in [zstd, chunked, gzip(&tar)] {
        assert_eq!(facts_of_bytes(&run, &[layer]), plain);
    }
    let scanner = LayerScanner::new(&config(&run)).unwrap();
    for broken in [&gzip(&tar)[..40], &frames[0][..20], &tar[..100]] {
        assert!(scanner.scan(broken).is_err());
    }
}

#[test]
fn a_link_in_the_place_of_a_folder_is_in_the_way() {
    let lower = [Link("opt", "usr/opt"), Folder("usr/opt", 0o755)];
    assert_eq!(
        facts(&json!({}), &[&lower]).in_the_way.as_deref(),
        Some("/opt")
    );
    let upper = [File("opt/ds", b"")];
    assert_eq!(
        facts(&json!({}), &[&upper]).in_the_way.as_deref(),
        Some("/opt/ds")
    );
}

#[test]
fn an_entrypoint_is_followed_through_the_programs_that_start_it() {
    let run = json!({"Entrypoint": ["tini", "--", "start.sh"], "Env": ["PATH=/usr/bin"]});
    let start = b"#!/bin/sh\nexec /stackable/spark/entrypoint.sh \"$@\"\n";
    let of = |script: &[u8]| {
        let lower = [
            File("usr/bin/tini", PROGRAM),
            File("usr/bin/start.sh", start),
            File("stackable/spark/entrypoint.sh", script),
        ];
        facts(&run, &[&lower]).knows_roles
    };
    assert!(of(ENTRYPOINT));
    assert!(!of(
        b"#!/bin/sh\n/usr/bin/start.sh\n# the driver is not told apart\nexec \"$@\"\n"
    ));
}

#[test]
fn the_version_of_the_c_library_is_found_in_its_file_its_name_or_the_list_of_packages() {
    let loader = File("lib64/ld-linux-x86-64.so.2", PROGRAM);
    let filler = vec![0; 200_000];
    let text = b"GNU C Library stable release version 2.34.\0";
    let large = [&filler[..], text, &filler].concat();
    for (file, version) in [
        (File("lib64/libc.so.6", &large), Some((2, 34))),
        (File("lib64/libc.so.6", text), Some((2, 34))),
        (File("usr/lib64/libc-2.17.so", b""), Some((2, 17))),
        (
            File("var/lib/dpkg/status", b"Package: a\nVersion: 9.9\n\nPackage: libc6\nStatus: installed\nVersion: 2.31-13+deb11u11\n"),
            Some((2, 31)),
        ),
        (File("etc/x", b""), None),
    ] {
        let facts = facts(&json!({}), &[&[file]]);
        let wanted = if version.is_some() { Libc::Glibc(version) } else { Libc::Unknown };
        assert_eq!(facts.libc, wanted);
    }
    assert_eq!(facts(&json!({}), &[&[loader]]).libc, Libc::Glibc(None));
}

#[test]
fn a_file_whose_folder_has_no_entry_is_put_where_links_lead() {
    let lower = [
        Folder("usr/lib", 0o755),
        Link("lib", "usr/lib"),
        File("usr/bin/python3", PROGRAM),
    ];
    let upper = [
        File(
            "lib/python3.12/site-packages/a-1.dist-info/METADATA",
            b"Name: a\nVersion: 1\n",
        ),
        File("lib/python3.12-gdb.py", b""),
    ];
    let found = facts(&json!({}), &[&lower, &upper]);
    assert_eq!(python(&found).version, Some((3, 12)));
    assert_eq!(named(&found), [("a", "1", false)]);
    // Two libraries tell nothing, and the rest of the facts stays.
    let both = [File("usr/lib/python3.11/os.py", b"")];
    let found = facts(&json!({}), &[&lower, &upper, &both]);
    assert_eq!((python(&found).version, named(&found).len()), (None, 0));
}
