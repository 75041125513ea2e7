//! Layers, as Go's readers see them: most programs that unpack images are written in Go.

use std::process::Command;

use sparkpack::{
    image::Digest,
    package::{gzip, layer::write_layer},
    project::tree::Entry,
};

use crate::support;

/// Prints the digest of the tar, then mode and name of each member with the digest of its content.
const READER: &str = r#"package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

func main() {
	file, err := os.Open(os.Args[1])
	check(err)
	unzipped, err := gzip.NewReader(file)
	check(err)
	whole := sha256.New()
	both := io.TeeReader(unzipped, whole)
	members := tar.NewReader(both)
	for {
		header, err := members.Next()
		if err == io.EOF {
			break
		}
		check(err)
		content := sha256.New()
		_, err = io.Copy(content, members)
		check(err)
		fmt.Printf("%o %s %x\n", header.Mode, header.Name, content.Sum(nil))
	}
	_, err = io.Copy(io.Discard, both)
	check(err)
	fmt.Printf("%x\n", whole.Sum(nil))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
"#;

#[test]
fn go_reads_a_layer_whole() {
    let row = |number: usize| format!("{number} {}\n", number * number % 7919);
    let text: String = (0..400_000).map(row).collect();
    assert!(text.len() > 3 * gzip::MEMBER, "it has several members");
    let folder = tempfile::tempdir().unwrap();
    let [reader, blob] = ["reader.go", "layer.tar.gz"].map(|name| folder.path().join(name));
    fs_err::write(&reader, READER).unwrap();
    let entry = Entry::in_memory("opt/table.txt", text.clone(), false);
    let output = fs_err::File::create(&blob).unwrap();
    let layer = write_layer(&[entry], "sparkpack job", output).unwrap();
    let mut command = Command::new("go");
    let run = support::run(command.arg("run").arg(&reader).arg(&blob));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let wanted = format!(
        "755 opt/ {}\n644 opt/table.txt {}\n{}\n",
        Digest::of(b"").hex(),
        Digest::of(text.as_bytes()).hex(),
        layer.diff_id.hex()
    );
    assert_eq!(run.stdout, wanted);
}
