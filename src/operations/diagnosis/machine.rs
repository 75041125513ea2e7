//! The disks, the folders and the clock of this machine.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{finding::Finding, project::ProjectNeeds};
use crate::code::Code;

/// What a chain of base, py and ds takes in a daemon, with what is needed while it is built, in bytes.
const CHAIN: u64 = 3_000_000_000;

/// With less than this free on a disk even small work fails, in bytes.
const LEAST: u64 = 500_000_000;

/// How far the clock may be from that of a registry.
const TOLERANCE: Duration = Duration::from_mins(5);

/// The seconds since the epoch between which a clock can be right: the beginnings of 2024 and of 2090.
const POSSIBLE: [u64; 2] = [1_704_067_200, 3_786_912_000];

/// A disk that something is kept on.
pub(super) struct Disk {
    /// What is kept there.
    pub(super) what: &'static str,
    pub(super) path: PathBuf,
    /// The free bytes; `None` where they are not known.
    pub(super) free: Option<u64>,
    /// Whether images are built there.
    pub(super) has_images: bool,
}

/// The room on the disks.
pub(super) fn of_disks(disks: &[Disk], needs: &ProjectNeeds) -> Finding {
    const CHECK: &str = "disk";
    let shown: Vec<String> = disks
        .iter()
        .map(|disk| {
            let free = disk.free.map_or_else(|| "?".to_owned(), gigabytes);
            format!("{} {free} ({})", disk.what, disk.path.display())
        })
        .collect();
    let shown = format!("free: {}", shown.join(", "));
    let below = |disk: &&Disk, limit: u64| disk.free.is_some_and(|free| free < limit);
    if let Some(full) = disks.iter().find(|disk| below(disk, LEAST)) {
        let text = format!("{shown}: that is too little");
        return Finding::bad(CHECK, Code::E626, text).run(format!("df -h {}", full.path.display()));
    }
    let wanted = CHAIN * needs.made_chains;
    match disks
        .iter()
        .find(|disk| disk.has_images && below(disk, wanted))
    {
        Some(small) => Finding::note(
            CHECK,
            format!(
                "{shown}; to make the chains of this project takes about {}",
                gigabytes(wanted)
            ),
        )
        .run(format!("df -h {}", small.path.display())),
        None => Finding::good(CHECK, shown),
    }
}

fn gigabytes(count: u64) -> String {
    format!(
        "{}.{} GB",
        count / 1_000_000_000,
        count % 1_000_000_000 / 100_000_000
    )
}

/// A folder that sparkpack writes into, and why it cannot.
pub(super) struct WorkFolder {
    pub(super) what: &'static str,
    pub(super) path: PathBuf,
    pub(super) problem: Option<String>,
    /// What names it.
    pub(super) variable: &'static str,
}

/// The folders that a run writes into.
pub(super) fn of_folders(folders: &[WorkFolder], has_home: bool) -> Finding {
    const CHECK: &str = "folders";
    let wrong = folders
        .iter()
        .find_map(|folder| Some((folder, folder.problem.as_ref()?)));
    if let Some((folder, problem)) = wrong {
        let text = format!(
            "{} {}: nothing can be written there: {problem}",
            folder.what,
            folder.path.display()
        );
        return Finding::bad(CHECK, Code::E610, text).hint(format!(
            "give yourself the right to it, or let {} name another folder",
            folder.variable
        ));
    }
    let shown: Vec<String> = folders
        .iter()
        .map(|folder| format!("{} {}", folder.what, folder.path.display()))
        .collect();
    if !has_home {
        return Finding::note(
            CHECK,
            format!(
                "{}; HOME is not set, so docker's credentials are not found",
                shown.join(", ")
            ),
        )
        .run("export HOME=$(getent passwd \"$(id -u)\" | cut -d: -f6)");
    }
    Finding::good(CHECK, shown.join(", "))
}

/// The clock, beside those of the registries that answered.
pub(super) fn of_clock(now: SystemTime, others: &[SystemTime]) -> Finding {
    const CHECK: &str = "clock";
    let cure = "timedatectl set-ntp true";
    let since = now.duration_since(UNIX_EPOCH).map(|since| since.as_secs());
    let possible = since
        .as_ref()
        .is_ok_and(|since| (POSSIBLE[0]..POSSIBLE[1]).contains(since));
    let shown = match since {
        Ok(_) => httpdate::fmt_http_date(now),
        Err(_) => "before 1970".to_owned(),
    };
    if !possible {
        return Finding::bad(CHECK, Code::E630, format!("check the clock: it is {shown}"))
            .run(cure);
    }
    let away = |other: &SystemTime| {
        now.duration_since(*other)
            .unwrap_or_else(|error| error.duration())
    };
    match others.iter().map(away).min() {
        None => Finding::good(
            CHECK,
            format!("{shown}; there is no registry to compare it with"),
        ),
        Some(away) if away > TOLERANCE => Finding::bad(
            CHECK,
            Code::E630,
            format!(
                "check the clock: it is {shown}, {} minutes from the registry's",
                away.as_secs() / 60
            ),
        )
        .run(cure),
        Some(_) => Finding::good(CHECK, format!("{shown}, as the registry says")),
    }
}
