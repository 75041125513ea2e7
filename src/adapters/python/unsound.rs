//! What uv and pip say of files that are no sound wheels, and of wheels that were taken back.

use std::collections::BTreeMap;

use super::{
    PythonError,
    run::{between, word_before},
};
use crate::project::{requirements::Pin, wheel::normalise};

/// The error for uv's message about a broken wheel; its white space is single spaces.
pub(super) fn of_uv(text: &str) -> Option<PythonError> {
    if let Some((_, rest)) = text.split_once("Failed to extract archive: ") {
        let (wheel, causes) = rest.split_once(' ').unwrap_or((rest, "no reason is told"));
        let causes = causes.replace("Caused by: ", "cause: ");
        let causes: Vec<&str> = causes
            .split("cause: ")
            .map(str::trim)
            .filter(|cause| !cause.is_empty())
            .collect();
        return Some(unsound(Some(wheel), &causes.join(": ")));
    }
    let wheel = word_before(text, " has an invalid package format")?;
    let reason = "what the index serves is another file";
    Some(unsound(Some(wheel.trim_matches('`')), reason))
}

/// The error for pip's message about a broken wheel.
pub(super) fn of_pip(text: &str) -> Option<PythonError> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    if let Some(path) = between(text, "' located at ", " is invalid") {
        let reason = "what the index serves is another file";
        return Some(unsound(Some(&name(path)), reason));
    }
    if text.contains("trying to install outside the target directory") {
        let wheel = between(text, "The wheel '", "'").map(name);
        let member = between(text, "has a file '", "'").unwrap_or_default();
        let folder = between(text, "target directory '", "'").unwrap_or_default();
        let member = member
            .strip_prefix(folder)
            .map_or(member, |inside| inside.strip_prefix('/').unwrap_or(inside));
        return Some(unsound(wheel.as_deref(), &outside(member)));
    }
    let (_, reason) = text.split_once("BadZipFile: ")?;
    let reason = reason.lines().next().unwrap_or_default();
    Some(unsound(None, reason.trim_end_matches('.')))
}

/// The error for a member that uv has passed over, and left out of the wheel's list, since it leads out of the wheel.
pub(super) fn passed_over(said: &str) -> Option<PythonError> {
    let mut lines = said.lines();
    let member = lines.find_map(|line| line.split_once("Skipping unsafe file name: "));
    member.map(|(_, member)| unsound(None, &outside(member.trim())))
}

/// What is wrong with a wheel that names a path outside of itself.
pub(super) fn outside(member: &str) -> String {
    format!("`{member}` lies outside of it")
}

fn unsound(wheel: Option<&str>, reason: &str) -> PythonError {
    PythonError::Unsound {
        wheel: wheel.map(str::to_owned),
        reason: reason.to_owned(),
    }
}

/// The error for uv's message if all that stands in the way is that each version was taken back.
pub(super) fn taken_back(text: &str) -> Option<PythonError> {
    let (name, version) = word_before(text, " was yanked (reason: ")?.split_once("==")?;
    let reason = between(text, " was yanked (reason: ", ")")?;
    // With another version there the message goes on to tell of that.
    let is_all = text.contains(&format!("only {name}=={version} is available"));
    is_all.then(|| PythonError::TakenBack {
        asked: name.to_owned(),
        versions: vec![format!("{version} ({reason})")],
    })
}

/// The chosen versions that were taken back from the index, each with the reason that is given, if one is.
pub(super) fn yanked(said: &str) -> BTreeMap<Pin, Option<String>> {
    let mut found = BTreeMap::new();
    let mut lines = said.lines().peekable();
    while let Some(line) = lines.next() {
        let line = line.trim();
        // uv's: warning: `six==1.0` is yanked (reason: "broken")
        if let Some((name, version)) =
            between(line, "warning: `", "` is yanked").and_then(|pin| pin.split_once("=="))
        {
            let reason = between(line, "(reason: \"", "\")").map(str::to_owned);
            found.insert(Pin::new(name, version), reason);
        }
        // pip's: … is a yanked version: 'six' candidate (version 1.0 at …), and the reason on a line of its own.
        if let Some((_, rest)) = line.split_once("is a yanked version: '")
            && let Some((name, rest)) = rest.split_once("' candidate (version ")
        {
            let version = rest.split([' ', ')']).next().unwrap_or_default();
            let reason = lines
                .peek()
                .and_then(|next| next.trim().strip_prefix("Reason for being yanked: "))
                .filter(|reason| *reason != "<none given>");
            found.insert(
                Pin::new(&normalise(name), version),
                reason.map(str::to_owned),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_broken_wheels_is_understood() {
        for (found, wanted) in [
            (
                of_uv(
                    "error: Failed to download `a==1.0` cause: Failed to extract archive: a-1.0-py3-none-any.whl cause: Bad CRC for file: a.py",
                ),
                "`a-1.0-py3-none-any.whl` is no sound wheel: Bad CRC for file: a.py",
            ),
            (
                of_uv(
                    "error: Failed to download `a==1.0` Caused by: Failed to extract archive: a.whl Caused by: I/O operation failed Caused by: early end",
                ),
                "`a.whl` is no sound wheel: I/O operation failed: early end",
            ),
            (
                of_uv("Because a==1.0 has an invalid package format and only a==1.0 is available"),
                "`a==1.0` is no sound wheel: what the index serves is another file",
            ),
            (
                of_pip("ERROR: Wheel 'a' located at /tmp/x/a-1.0-py3-none-any.whl is invalid.\n"),
                "`a-1.0-py3-none-any.whl` is no sound wheel: what the index serves is another file",
            ),
            (
                of_pip(
                    "ERROR: For req: a==1.0. The wheel '/tmp/x/a.whl' has a file '/tmp/y/lib/../evil.py' trying to install outside the target directory '/tmp/y/lib'\n",
                ),
                "`a.whl` is no sound wheel: `../evil.py` lies outside of it",
            ),
            (
                of_pip(
                    "ERROR: For req: a==1.0. The wheel '/tmp/x/a.whl' has a file '/etc/evil' trying to install outside the target directory '/tmp/y/lib'\n",
                ),
                "`a.whl` is no sound wheel: `/etc/evil` lies outside of it",
            ),
            (
                of_pip("Traceback\n  x\nzipfile.BadZipFile: Bad CRC-32 for file 'a.py'\n"),
                "a wheel is not sound: Bad CRC-32 for file 'a.py'",
            ),
        ] {
            assert_eq!(found.unwrap().to_string(), wanted);
        }
        let told = passed_over("Resolved\nWARN Skipping unsafe file name: ../evil.py\nPrepared\n");
        let wanted = "a wheel is not sound: `../evil.py` lies outside of it";
        assert_eq!(told.unwrap().to_string(), wanted);
        assert!(passed_over("Resolved 1 package\n").is_none());
        assert!(of_uv("error: No solution found").is_none());
        assert!(of_pip("ERROR: No matching distribution found for a").is_none());
    }

    #[test]
    fn what_was_taken_back_is_read_of_both_with_its_reason() {
        let pip = "WARNING: The candidate selected for download or install is a yanked version: 'Six_x' candidate (version 1.0 at http://h.example/a.whl (from http://h.example/))\nReason for being yanked: broken upload\n";
        let uv = "Resolved 2 packages in 5ms\nwarning: `six-x==1.0` is yanked (reason: \"broken upload\")\n";
        let wanted = BTreeMap::from([(Pin::new("six-x", "1.0"), Some("broken upload".to_owned()))]);
        assert_eq!((yanked(pip), yanked(uv)), (wanted.clone(), wanted));
        let pip = pip.replace("broken upload", "<none given>");
        let uv = uv.replace(" (reason: \"broken upload\")", "");
        let wanted = BTreeMap::from([(Pin::new("six-x", "1.0"), None)]);
        assert_eq!((yanked(&pip), yanked(&uv)), (wanted.clone(), wanted));
        assert!(yanked("warning: `six` is fine\n").is_empty());
    }
}
