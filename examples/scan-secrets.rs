//! Looks for credentials in files and folders: prints what is found, and how long it took beside reading and hashing the
//! same bytes.

#![expect(
    clippy::print_stdout,
    reason = "a program for the developers of sparkpack"
)]

use std::{error::Error, path::PathBuf, time::Instant};

use sparkpack::{image::Digest, project::secrets};

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<PathBuf> = std::env::args_os()
        .skip(1)
        .flat_map(|path| walkdir::WalkDir::new(path).sort_by_file_name())
        .filter_map(|entry| entry.ok().filter(|entry| entry.file_type().is_file()))
        .map(walkdir::DirEntry::into_path)
        .collect();
    let mut bytes = 0;
    let start = Instant::now();
    for file in &files {
        bytes += Digest::with_size(&mut fs_err::File::open(file)?)?.0;
    }
    let hashing = start.elapsed();
    let start = Instant::now();
    let mut count = 0;
    for file in &files {
        for found in secrets::scan_file(fs_err::File::open(file)?, &file.to_string_lossy())? {
            count += 1;
            let member = found.member.as_deref().unwrap_or_default();
            let rule = found.rule().map_or("", |rule| rule.name());
            println!(
                "{} {member}:{}:{} {rule} {}",
                file.display(),
                found.line,
                found.column,
                found.masked()
            );
        }
    }
    let scanning = start.elapsed();
    println!(
        "{count} findings in {} files, {bytes} bytes; read and hashed in {:.2} s, scanned in {:.2} s: {:.2} times as long",
        files.len(),
        hashing.as_secs_f64(),
        scanning.as_secs_f64(),
        scanning.as_secs_f64() / hashing.as_secs_f64()
    );
    Ok(())
}
