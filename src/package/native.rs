//! Native files of wheels, as they lie unpacked: whether the image's Python can load them.
//!
//! A wheel's file name tells what it is for, and it can be wrong: a wheel that was packed by hand, or one that says `any`
//! and holds a module for the machine that it was made on.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    path::Path,
};

use object::{
    Endianness, ReadCache, ReadRef,
    elf::{FileHeader32, FileHeader64},
    read::elf::{FileHeader, VernauxIterator, VerneedIterator},
};

use crate::{image::Program, project::wheel::Target};

/// A native file that the image cannot load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Its path in the installation.
    pub path: String,
    /// What it is for, or needs.
    pub found: String,
    /// What the image is, or has.
    pub wanted: String,
}

/// A native file of a wheel.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NativeKind {
    Elf {
        machine: u16,
        /// The newest version of the GNU C library that it needs.
        glibc: Option<(u8, u8)>,
    },
    /// A library of macOS.
    MachO,
    /// A library of Windows.
    Pe,
}

/// What the name of a library says of who can import it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Importer {
    /// One version of `CPython`.
    Version(u8, u8),
    /// Any Python 3: `.abi3.so`.
    Stable,
    /// Nothing: `.so`.
    Untold,
}

/// The first of the `paths` of a wheel that the image cannot load; `is_for_any` if the wheel says that it is for any platform.
///
/// Of a module that is there for several Pythons or machines one has to fit. What a wheel for any platform has as plain
/// libraries is for whatever machine it is.
///
/// # Errors
/// A file cannot be read.
pub fn misfit(
    folder: &Path,
    paths: &[&str],
    is_for_any: bool,
    target: &Target,
) -> io::Result<Option<Misfit>> {
    let mut modules: BTreeMap<&str, Vec<(&str, Option<Misfit>)>> = BTreeMap::new();
    for &path in paths {
        let Some((module, importer)) = library(path) else {
            continue;
        };
        if is_for_any && importer == Importer::Untold {
            continue;
        }
        let misfit = match of_importer(&importer, target) {
            Some((found, wanted)) => Some((found, wanted)),
            None => read(&folder.join(path))?.and_then(|kind| kind.misfit(target)),
        };
        let misfit = misfit.map(|(found, wanted)| Misfit {
            path: path.to_owned(),
            found,
            wanted,
        });
        modules.entry(module).or_default().push((path, misfit));
    }
    let misfits = modules.into_values().filter_map(|variants| {
        let fits = variants.iter().any(|(_, misfit)| misfit.is_none());
        let mut misfits = variants.into_iter().filter_map(|(_, misfit)| misfit);
        misfits.next().filter(|_| !fits)
    });
    Ok(misfits.into_iter().next())
}

/// The path of a library without what its name says of Python, and that.
fn library(path: &str) -> Option<(&str, Importer)> {
    let start = path.rfind('/').map_or(0, |slash| slash + 1);
    let name = &path[start..];
    let (stem, end) = name.split_once(".so")?;
    // `libz.so.1.2`.
    let is_version = |end: &str| {
        end.starts_with('.')
            && end
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    if !(end.is_empty() || is_version(end)) || stem.is_empty() {
        return None;
    }
    let module = |stem: &str| &path[..start + stem.len()];
    if let Some(stem) = stem.strip_suffix(".abi3") {
        return Some((module(stem), Importer::Stable));
    }
    let tagged = stem.split_once(".cpython-").and_then(|(stem, tag)| {
        let digits = tag
            .split('-')
            .next()?
            .trim_end_matches(|end: char| !end.is_ascii_digit());
        let (major, minor) = digits.split_at_checked(1)?;
        Some((stem, major.parse().ok()?, minor.parse().ok()?))
    });
    match tagged {
        Some((stem, major, minor)) => Some((module(stem), Importer::Version(major, minor))),
        None => Some((path, Importer::Untold)),
    }
}

fn of_importer(importer: &Importer, target: &Target) -> Option<(String, String)> {
    let (major, minor) = target.python;
    match importer {
        Importer::Version(found_major, found_minor)
            if (*found_major, *found_minor) != target.python =>
        {
            Some((
                format!("Python {found_major}.{found_minor}"),
                format!("Python {major}.{minor}"),
            ))
        }
        _ => None,
    }
}

impl NativeKind {
    fn misfit(&self, target: &Target) -> Option<(String, String)> {
        let platform = target.platform.to_string();
        let (machine, glibc) = match self {
            Self::MachO => return Some(("macOS (Mach-O)".to_owned(), platform)),
            Self::Pe => return Some(("Windows (PE)".to_owned(), platform)),
            Self::Elf { machine, glibc } => (*machine, *glibc),
        };
        let program = Program {
            path: String::new(),
            machine,
        };
        // Code for other processors than the machine's own, such as graphics cards, is loaded by those.
        if program.is_known() && !program.runs_on(&target.platform) {
            return Some((program.architecture(), platform));
        }
        let (needed, (major, minor)) = (glibc?, target.glibc);
        (needed > target.glibc).then(|| {
            (
                format!("glibc {}.{}", needed.0, needed.1),
                format!("glibc {major}.{minor}"),
            )
        })
    }
}

/// How libraries of macOS begin.
const MACH: [[u8; 4]; 5] = [
    [0xfe, 0xed, 0xfa, 0xce],
    [0xfe, 0xed, 0xfa, 0xcf],
    [0xce, 0xfa, 0xed, 0xfe],
    [0xcf, 0xfa, 0xed, 0xfe],
    [0xca, 0xfe, 0xba, 0xbe],
];

/// What a file is; `None` if it is nothing that a system loads, or is damaged.
fn read(path: &Path) -> io::Result<Option<NativeKind>> {
    let mut file = fs_err::File::open(path)?;
    let mut head = [0; 20];
    let mut length = 0;
    while length < head.len() {
        match file.read(&mut head[length..])? {
            0 => break,
            count => length += count,
        }
    }
    let head = &head[..length];
    if MACH.iter().any(|magic| head.starts_with(magic)) {
        return Ok(Some(NativeKind::MachO));
    }
    if head.starts_with(b"MZ") {
        return Ok(Some(NativeKind::Pe));
    }
    let Some(machine) = Program::machine_of(head) else {
        return Ok(None);
    };
    let is_64 = head.get(4) == Some(&2);
    let data = ReadCache::new(file);
    let versions = if is_64 {
        glibc_of::<FileHeader64<Endianness>, _>(&data)
    } else {
        glibc_of::<FileHeader32<Endianness>, _>(&data)
    };
    let glibc = versions
        .ok()
        .and_then(|versions| versions.into_iter().max());
    Ok(Some(NativeKind::Elf { machine, glibc }))
}

/// The versions of the GNU C library that a file needs.
fn glibc_of<'d, H, D>(data: D) -> object::Result<BTreeSet<(u8, u8)>>
where
    H: FileHeader<Endian = Endianness>,
    D: ReadRef<'d>,
{
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, data)?;
    let mut versions = BTreeSet::new();
    let Some((needs, link)) = sections.gnu_verneed(endian, data)? else {
        return Ok(versions);
    };
    let strings = sections.strings(endian, data, link)?;
    let mut needs: VerneedIterator<'_, H> = needs;
    while let Some((_, names)) = needs.next()? {
        let mut names: VernauxIterator<'_, H> = names;
        while let Some(name) = names.next()? {
            versions.extend(version_of(name.name(endian, strings)?));
        }
    }
    Ok(versions)
}

/// `(2, 34)` of `GLIBC_2.34`.
fn version_of(name: &[u8]) -> Option<(u8, u8)> {
    let name = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?;
    // The format of relocations that linkers write for 2.36 and later.
    if name == "ABI_DT_RELR" {
        return Some((2, 36));
    }
    let mut numbers = name.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            python: (3, 11),
            platform: "linux/amd64".parse().unwrap(),
            glibc: (2, 28),
        }
    }

    /// A shared library in ELF for a machine, which needs these versions.
    fn elf(machine: u16, versions: &[&str]) -> Vec<u8> {
        let mut strings = b"\0libc.so.6\0".to_vec();
        let mut needs = Vec::new();
        let both = |left: u16, right: u16| [left.to_le_bytes(), right.to_le_bytes()].concat();
        let count = u16::try_from(versions.len()).unwrap();
        needs.extend(both(1, count));
        for number in [1_u32, 16, 0] {
            needs.extend(number.to_le_bytes());
        }
        for (index, version) in versions.iter().enumerate() {
            let name = u32::try_from(strings.len()).unwrap();
            strings.extend([version.as_bytes(), b"\0"].concat());
            let next = if index + 1 == versions.len() {
                0
            } else {
                16_u32
            };
            needs.extend(0_u32.to_le_bytes());
            needs.extend(both(0, 2));
            needs.extend(name.to_le_bytes());
            needs.extend(next.to_le_bytes());
        }
        strings.resize(strings.len().next_multiple_of(8), 0);
        let (strings_at, needs_at) = (64, 64 + strings.len() as u64);
        let sections_at = needs_at + needs.len() as u64;
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend(both(3, machine));
        bytes.extend(1_u32.to_le_bytes());
        for number in [0, 0, sections_at] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(0_u32.to_le_bytes());
        for number in [64_u16, 0, 0, 64, 3, 1] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(&strings);
        bytes.extend(&needs);
        bytes.extend([0; 64]);
        for (kind, at, size, link, info) in [
            (3_u32, strings_at, strings.len() as u64, 0_u32, 0_u32),
            (0x6fff_fffe, needs_at, needs.len() as u64, 1, 1),
        ] {
            bytes.extend(0_u32.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            for number in [2_u64, 0, at, size] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend(link.to_le_bytes());
            bytes.extend(info.to_le_bytes());
            for number in [8_u64, 0] {
                bytes.extend(number.to_le_bytes());
            }
        }
        bytes
    }

    /// The misfit among files with these contents.
    fn among(files: &[(&str, &[u8])], is_for_any: bool) -> Option<Misfit> {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let file = folder.path().join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, bytes).unwrap();
        }
        let paths: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
        misfit(folder.path(), &paths, is_for_any, &target()).unwrap()
    }

    const AMD64: u16 = 62;
    const ARM64: u16 = 183;

    #[test]
    fn what_the_image_cannot_load_is_named_with_what_it_is() {
        let fitting = elf(AMD64, &["GLIBC_2.2.5", "GLIBC_2.28", "OTHER_9.9"]);
        let newer = elf(AMD64, &["GLIBC_2.2.5", "GLIBC_2.34"]);
        let relocated = elf(AMD64, &["GLIBC_2.17", "GLIBC_ABI_DT_RELR"]);
        let arm = elf(ARM64, &["GLIBC_2.17"]);
        let here = "p/x.cpython-311-x86_64-linux-gnu.so";
        for (path, bytes, found, wanted) in [
            (here, &arm[..], "arm64", "linux/amd64"),
            ("p.libs/libz.so.1.2", &arm, "arm64", "linux/amd64"),
            (here, &newer, "glibc 2.34", "glibc 2.28"),
            (here, &relocated, "glibc 2.36", "glibc 2.28"),
            (
                "p/x.cpython-310-x86_64-linux-gnu.so",
                &fitting,
                "Python 3.10",
                "Python 3.11",
            ),
            (
                "p/x.cpython-311-darwin.so",
                b"\xcf\xfa\xed\xfe\x0c",
                "macOS (Mach-O)",
                "linux/amd64",
            ),
            ("p/x.so", b"MZ\x90\x00", "Windows (PE)", "linux/amd64"),
        ] {
            let misfit = among(&[("p/y.so", &fitting), (path, bytes)], false).unwrap();
            let told = (
                misfit.path.as_str(),
                misfit.found.as_str(),
                misfit.wanted.as_str(),
            );
            assert_eq!(told, (path, found, wanted));
        }
        assert_eq!(
            among(&[(here, &fitting), ("p/y.abi3.so", &fitting)], false),
            None
        );
    }

    #[test]
    fn what_is_harmless_is_not_told() {
        let (here, arm) = (elf(AMD64, &["GLIBC_2.17"]), elf(ARM64, &[]));
        let graphics = elf(224, &[]);
        // One of several variants has to fit.
        let variants = [
            ("p/x.cpython-310-x86_64-linux-gnu.so", &here[..]),
            ("p/x.cpython-311-x86_64-linux-gnu.so", &here),
            ("p/x.cpython-311-darwin.so", b"\xca\xfe\xba\xbe"),
        ];
        assert_eq!(among(&variants, false), None);
        assert!(among(&variants[..1], true).is_some());
        for (path, bytes, is_for_any) in [
            ("setuptools/cli-64.exe", &b"MZ"[..], true),
            ("p/x.pyd", b"MZ", false),
            ("p/attach_linux_arm64.so", &arm, true),
            ("p/kernel.so", &graphics, false),
            ("p/x.so.py", b"MZ", false),
            ("p/libx.so", b"INPUT(libz.so.1)\n", false),
            ("p/empty.so", b"", false),
            ("p/x.sources", &arm, false),
            ("p/.so", &arm, false),
            ("p/cut.so", &here[..64], false),
        ] {
            assert_eq!(among(&[(path, bytes)], is_for_any), None, "{path}");
        }
    }

    #[test]
    fn names_tell_who_can_import() {
        for (path, module, importer) in [
            (
                "a/b.cpython-311-x86_64-linux-gnu.so",
                "a/b",
                Importer::Version(3, 11),
            ),
            (
                "b.cpython-36m-x86_64-linux-gnu.so",
                "b",
                Importer::Version(3, 6),
            ),
            ("a.b/c.abi3.so", "a.b/c", Importer::Stable),
            ("a/libz.so.1", "a/libz.so.1", Importer::Untold),
            (
                "a/b.pypy39-pp73-x86_64-linux-gnu.so",
                "a/b.pypy39-pp73-x86_64-linux-gnu.so",
                Importer::Untold,
            ),
        ] {
            assert_eq!(library(path), Some((module, importer)), "{path}");
        }
        for path in ["a/b.py", "a.so/b.py", "so", "a/.so", "a/b.sox"] {
            assert_eq!(library(path), None, "{path}");
        }
    }
}
