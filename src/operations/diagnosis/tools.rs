//! The programs on this machine: the installer of Python packages, git, and the hook that runs before a commit.

use super::{cure, finding::Finding, project::ProjectNeeds};
use crate::{
    adapters::{
        git::{AboutCheckout, HookState, NoGit},
        python::PythonError,
    },
    code::Code,
    error::Error,
};

/// The installer that was found: its name and its version.
pub(super) type InstallerAnswer = Option<Result<(String, Option<String>), PythonError>>;

/// What git says of the project's checkout; `None` where it took too long.
pub(super) type GitAnswer = Option<Result<AboutCheckout, NoGit>>;

/// The installer of Python packages.
pub(super) fn of_installer(answer: InstallerAnswer, needs: &ProjectNeeds) -> Finding {
    const CHECK: &str = "installer";
    let pythons: Vec<&str> = needs.pythons.iter().map(String::as_str).collect();
    let pythons = match &pythons[..] {
        [] => String::new(),
        known => format!(", for Python {}", known.join(", ")),
    };
    match answer {
        Some(Ok((name, version))) => {
            let version = version.map_or_else(String::new, |version| format!(" {version}"));
            Finding::good(CHECK, format!("{name}{version}{pythons}"))
        }
        None => Finding::note(CHECK, "it does not say its version in time"),
        Some(Err(error)) if needs.packages => {
            Finding::of_error(CHECK, &Error::from(error)).run("pip install uv")
        }
        Some(Err(error)) => {
            Finding::note(CHECK, format!("{error}; nothing here needs one")).run("pip install uv")
        }
    }
}

/// git, and the checkout.
pub(super) fn of_git(answer: &GitAnswer, untracked: &[String]) -> Finding {
    const CHECK: &str = "git";
    match answer {
        None => Finding::note(CHECK, "it does not answer in time").run("git status"),
        Some(Err(error @ NoGit::DubiousOwnership { .. })) => {
            let text = format!("{error}: `--strict` and the commit in dist/images.json need it");
            Finding::bad(CHECK, Code::E097, text).run(cure::trust(error))
        }
        Some(Err(error)) => {
            let text = format!("{error}: only `--strict` needs it, which is CI's default");
            Finding::note(CHECK, text).run(cure::trust(error))
        }
        Some(Ok(about)) => of_checkout(CHECK, about, untracked),
    }
}

fn of_checkout(check: &str, about: &AboutCheckout, untracked: &[String]) -> Finding {
    let mut text = format!("git {} in {}", about.version, about.top.display());
    for (is_so, words) in [
        (about.is_shallow, ", shallow (nothing here needs more)"),
        (about.is_detached, ", no branch is checked out"),
        (
            about.distrusts_modes,
            ", core.fileMode is off (executable bits are the index's)",
        ),
    ] {
        if is_so {
            text.push_str(words);
        }
    }
    match untracked {
        [] => Finding::good(check, text),
        [first] => Finding::note(check, format!("{text}; an input is not tracked: {first}"))
            .run("git add --all"),
        [first, ..] => Finding::note(
            check,
            format!(
                "{text}; {} inputs are not tracked: {first}, …",
                untracked.len()
            ),
        )
        .run("git add --all"),
    }
}

/// The hook that runs before a commit.
pub(super) fn of_hook(answer: &GitAnswer) -> Finding {
    const CHECK: &str = "pre-commit";
    let Some(Ok(about)) = answer else {
        return Finding::not_asked(CHECK, "there is no git repository");
    };
    match about.hook {
        HookState::Installed => Finding::good(CHECK, "a hook runs sparkpack before each commit"),
        HookState::NotInstalled => Finding::note(
            CHECK,
            ".pre-commit-config.yaml names sparkpack, and no hook is installed in this clone",
        )
        .run("pre-commit install"),
        HookState::Absent => Finding::note(
            CHECK,
            "no hook runs sparkpack before a commit: docs/pre-commit.md has the lines",
        ),
    }
}
