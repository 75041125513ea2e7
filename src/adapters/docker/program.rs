//! A look into an image: for which machine are its programs, and which Python does it have? Nothing in it is executed.

use std::io::Read as _;

use bollard::{
    Docker, models::ContainerCreateBody, query_parameters::DownloadFromContainerOptionsBuilder,
};
use futures_util::{Stream, StreamExt, pin_mut};

use super::{container::container_name, daemon::Daemon, error::DockerError};
use crate::{
    adapters::chunks::read_while_fetched,
    image::{ImageInfo, ImagePython, LayerContents, LayerScanner, Program},
};

/// The program that nearly every image has.
const SHELL: &str = "/bin/sh";

/// A program that is a link to a link is followed no further than this.
const LINKS_LIMIT: usize = 16;

/// An image without a shell is searched no further than this many bytes.
const SEARCH_LIMIT: u64 = 2 << 30;

/// Of a file that is looked at no more than this many bytes are read.
const FILE_LIMIT: usize = 64 << 10;

/// Where commands are looked for if an image does not say it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a distribution's `python3` is installed.
const DISTRIBUTIONS: &str = "/usr/bin";

/// Where a distribution tells what it is.
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// The size of a block of a tar.
const BLOCK: usize = 512;

impl Daemon {
    /// A program of an image: its shell, else the first one that runs on its platform, else the first one. `None` if
    /// there is none.
    ///
    /// # Errors
    /// The daemon refuses, or does not answer.
    pub fn program(&self, image: &ImageInfo) -> Result<Option<Program>, DockerError> {
        self.look_into(image, async |client: &Docker, container: &str| {
            find(client, container, image).await
        })
    }

    /// The Python of an image, once its distribution's is installed: that which comes first on the image's `PATH`.
    ///
    /// # Errors
    /// The daemon refuses, or does not answer.
    pub fn python(&self, image: &ImageInfo) -> Result<ImagePython, DockerError> {
        self.look_into(image, async |client: &Docker, container: &str| {
            let inspected = client.inspect_image(image.id.as_str()).await?;
            let variables = inspected.config.and_then(|config| config.env);
            let variables = variables.unwrap_or_default();
            let path = variables.iter().find_map(|pair| pair.strip_prefix("PATH="));
            find_python(client, container, path.unwrap_or(PATH)).await
        })
    }

    /// What is in an image: all its layers together.
    ///
    /// # Errors
    /// The daemon refuses, or does not answer.
    pub fn scan(
        &self,
        image: &ImageInfo,
        scanner: &LayerScanner,
    ) -> Result<LayerContents, DockerError> {
        let (scanned, fetched) = read_while_fetched(
            |reader| scanner.scan(reader),
            |send| {
                self.look_into(image, async |client: &Docker, container: &str| {
                    let files = client.export_container(container);
                    pin_mut!(files);
                    while let Some(bytes) = files.next().await {
                        if !send(bytes?) {
                            break;
                        }
                    }
                    Ok(())
                })
            },
        );
        fetched?;
        scanned.map_err(|error| DockerError::Answer {
            doing: format!("look into the image `{}`", image.id),
            message: error.to_string(),
        })
    }

    /// Makes a container of an image for a look at its files; it is never started.
    fn look_into<T>(
        &self,
        image: &ImageInfo,
        look: impl AsyncFnOnce(&Docker, &str) -> Result<T, bollard::errors::Error>,
    ) -> Result<T, DockerError> {
        let doing = || format!("look into the image `{}`", image.id);
        let body = ContainerCreateBody {
            image: Some(image.id.to_string()),
            // An image need not name a command, and a container needs one.
            cmd: Some(vec!["never-started".to_owned()]),
            ..ContainerCreateBody::default()
        };
        let name = container_name(image);
        self.in_container(&name, doing, async |running| {
            let created = self.create(&self.client, (&name, running), image, body);
            self.in_time(created).await?;
            self.in_time(look(&self.client, &name)).await
        })
    }
}

async fn find(
    client: &Docker,
    container: &str,
    image: &ImageInfo,
) -> Result<Option<Program>, bollard::errors::Error> {
    if let Some(shell) = shell(client, container).await? {
        return Ok(Some(shell));
    }
    let files = client.export_container(container);
    pin_mut!(files);
    let mut tar = Members::default();
    let (mut first, mut read) = (None, 0);
    while let Some(bytes) = files.next().await {
        let bytes = bytes?;
        read += bytes.len() as u64;
        tar.feed(&bytes);
        while let Some(member) = tar.next() {
            let Some(machine) = member.machine else {
                continue;
            };
            let path = format!("/{}", member.path.trim_start_matches(['.', '/']));
            let program = Program { path, machine };
            if program.runs_on(&image.platform) {
                return Ok(Some(program));
            }
            first.get_or_insert(program);
        }
        if tar.is_at_end || read > SEARCH_LIMIT {
            break;
        }
    }
    Ok(first)
}

/// The shell, at the end of all links; `None` if there is none or if it is no ELF.
async fn shell(
    client: &Docker,
    container: &str,
) -> Result<Option<Program>, bollard::errors::Error> {
    let found = file(client, container, SHELL).await?;
    Ok(found.and_then(|(path, content)| {
        let machine = Program::machine_of(&content)?;
        Some(Program { path, machine })
    }))
}

async fn find_python(
    client: &Docker,
    container: &str,
    path: &str,
) -> Result<ImagePython, bollard::errors::Error> {
    // The distribution's comes before those in later folders.
    let end = path.split(':').position(|folder| folder == DISTRIBUTIONS);
    let folders = path.split(':').take(end.map_or(usize::MAX, |end| end + 1));
    for folder in folders.filter(|folder| folder.starts_with('/')) {
        let program = format!("{}/python3", folder.trim_end_matches('/'));
        if let Some((path, _)) = file(client, container, &program).await? {
            return Ok(ImagePython::Program(path));
        }
    }
    for path in OS_RELEASE {
        if let Some((_, content)) = file(client, container, path).await? {
            let text = String::from_utf8_lossy(&content);
            return Ok(ImagePython::of_os_release(&text));
        }
    }
    Ok(ImagePython::Unknown)
}

/// The file at the end of all links, with the beginning of its content; `None` if there is none.
async fn file(
    client: &Docker,
    container: &str,
    path: &str,
) -> Result<Option<(String, Vec<u8>)>, bollard::errors::Error> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_LIMIT {
        let options = DownloadFromContainerOptionsBuilder::default()
            .path(&path)
            .build();
        let sent = client.download_from_container(container, Some(options));
        let tar = match beginning(sent).await {
            // There is none, or its links lead nowhere or in a circle: a daemon has a status of its own for each.
            Err(bollard::errors::Error::DockerResponseServerError { .. }) => return Ok(None),
            tar => tar?,
        };
        let mut tar = tar::Archive::new(&tar[..]);
        let entry = tar.entries().ok().and_then(|mut entries| entries.next());
        let Some(Ok(mut entry)) = entry else {
            return Ok(None);
        };
        let kind = entry.header().entry_type();
        if kind.is_file() {
            let mut content = Vec::new();
            // A large file ends too early, and its beginning is enough.
            let _ = entry.read_to_end(&mut content);
            return Ok(Some((path, content)));
        }
        match entry.link_name_bytes().filter(|_| kind.is_symlink()) {
            Some(target) => path = joined(&path, &String::from_utf8_lossy(&target)),
            None => return Ok(None),
        }
    }
    Ok(None)
}

async fn beginning(
    sent: impl Stream<Item = Result<bytes::Bytes, bollard::errors::Error>>,
) -> Result<Vec<u8>, bollard::errors::Error> {
    pin_mut!(sent);
    let mut all = Vec::new();
    while all.len() < FILE_LIMIT
        && let Some(bytes) = sent.next().await
    {
        all.extend_from_slice(&bytes?);
    }
    Ok(all)
}

/// Where a link at `path` leads to; a daemon keeps it inside the image.
fn joined(path: &str, target: &str) -> String {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let whole = match target.strip_prefix('/') {
        Some(absolute) => absolute.to_owned(),
        None => format!("{folder}/{target}"),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A file or link of a tar.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    path: String,
    /// The target of a link.
    link: Option<String>,
    /// The machine of a program.
    machine: Option<u16>,
}

/// Reads the members of a tar from pieces of it, and of each file only its beginning.
#[derive(Default)]
struct Members {
    waiting: Vec<u8>,
    /// The bytes that still belong to the last file.
    skip: u64,
    is_at_end: bool,
}

impl Members {
    fn feed(&mut self, bytes: &[u8]) {
        let skipped = usize::try_from(self.skip)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        self.skip -= skipped as u64;
        self.waiting.extend_from_slice(&bytes[skipped..]);
    }

    /// The next file or link, if the bytes so far have its beginning.
    fn next(&mut self) -> Option<Member> {
        while !self.is_at_end && self.skip == 0 && self.waiting.len() >= BLOCK {
            let header = tar::Header::from_byte_slice(&self.waiting[..BLOCK]);
            let Ok(size) = header.entry_size() else {
                self.is_at_end = true;
                break;
            };
            if header.as_bytes().iter().all(|byte| *byte == 0) {
                self.is_at_end = true;
                break;
            }
            let kind = header.entry_type();
            let has_content = kind.is_file() && size > 0;
            if has_content && self.waiting.len() < 2 * BLOCK {
                break;
            }
            let link = header.link_name_bytes().filter(|_| kind.is_symlink());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let content = self.waiting.get(BLOCK..2 * BLOCK).filter(|_| has_content);
            let member = Member {
                path: text(&header.path_bytes()),
                link: link.map(|link| text(&link)),
                machine: content.and_then(Program::machine_of),
            };
            self.pass(BLOCK as u64 + size.div_ceil(BLOCK as u64) * BLOCK as u64);
            if kind.is_file() || kind.is_symlink() {
                return Some(member);
            }
        }
        None
    }

    fn pass(&mut self, count: u64) {
        let there = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(self.waiting.len());
        self.waiting.drain(..there);
        self.skip = count - there as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u8) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        bytes.extend([machine, 0]);
        bytes.resize(1300, 7);
        bytes
    }

    fn tar() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |kind, path: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(bytes.len() as u64);
            header.set_mode(0o755);
            tar.append_data(&mut header, path, bytes).unwrap();
        };
        add(tar::EntryType::Directory, "bin/", b"");
        add(tar::EntryType::Regular, "bin/script", &[b'#'; 600]);
        add(tar::EntryType::Regular, "bin/empty", b"");
        add(tar::EntryType::Regular, "bin/short", b"\x7fELF");
        add(tar::EntryType::Regular, "bin/tool", &elf(62));
        add(
            tar::EntryType::Regular,
            &format!("{}/x", "long".repeat(40)),
            &elf(183),
        );
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, "bin/sh", "tool").unwrap();
        tar.into_inner().unwrap()
    }

    #[test]
    fn members_are_the_same_however_a_tar_arrives() {
        let bytes = tar();
        for size in [bytes.len(), 1, 511, 512, 513, 1024, 3000] {
            let (mut tar, mut found) = (Members::default(), Vec::new());
            for piece in bytes.chunks(size) {
                tar.feed(piece);
                found.extend(std::iter::from_fn(|| tar.next()));
            }
            assert!(tar.is_at_end, "{size}");
            let machines: Vec<_> = found.iter().map(|member| member.machine).collect();
            assert_eq!(machines, [None, None, None, Some(62), Some(183), None]);
            assert_eq!(found[3].path, "bin/tool");
            assert_eq!(found[5].link.as_deref(), Some("tool"));
            assert_eq!(found[4].path, format!("{}/x", "long".repeat(40))[..100]);
        }
    }

    #[test]
    fn links_lead_to_where_the_image_has_them() {
        for (path, target, wanted) in [
            ("/bin/sh", "dash", "/bin/dash"),
            ("/bin/sh", "/usr/bin/busybox", "/usr/bin/busybox"),
            ("/bin/sh", "../lib/./x", "/lib/x"),
            ("/bin/sh", "../../../x", "/x"),
        ] {
            assert_eq!(joined(path, target), wanted);
        }
    }
}
