//! `sparkpack lock`: looks up missing and upgraded entries, and finds out which images they retag before they are
//! written.

use super::{
    changes::lock_changes,
    impact::{Before, Impact},
    lock_files::LockFiles,
    prepare::{Resolver, read_inputs, warn_of_inputs},
    upgrade::{Upgrade, upgrade},
};
use crate::{
    error::{Error, UsageError},
    operations::workspace::{self, Services, Session},
    plan::Inputs,
    project::{
        inputs::InputError,
        lock::{Lock, Revision},
    },
};

/// What `sparkpack lock` does besides looking up missing entries.
#[derive(Clone, Copy, Default)]
pub(crate) struct LockRequest<'a> {
    /// `--upgrade`: the name whose entries are looked up again; all entries if it is empty.
    pub(crate) upgrade: Option<&'a str>,
    /// `--refresh`: an image that gets a new tag although none of its inputs has changed, and the reason that `why`
    /// prints.
    pub(crate) refresh: Option<(&'a str, &'a str)>,
}

/// Locks that differ from the project's lock files.
pub(crate) struct NewLocks {
    old: LockFiles,
    new: LockFiles,
    pub(crate) impact: Impact,
}

impl NewLocks {
    /// Writes the lock files, all or none.
    pub(crate) fn write(&self, session: &Session<'_>) -> Result<(), Error> {
        self.new.write(session, &self.old)
    }
}

/// Looks up missing and upgraded entries; `None` if no lock changes.
pub(crate) fn relock(
    session: &Session<'_>,
    services: &Services<'_>,
    request: LockRequest<'_>,
) -> Result<Option<NewLocks>, Error> {
    let (old, old_inputs, is_known) = read(session, request)?;
    let Upgrade {
        mut files,
        packages,
    } = upgrade(request.upgrade, session, &old_inputs, &old)?;
    refresh(session, request, &mut files.lock)?;
    let moved_recipes = files.lock.recipes != old.lock.recipes;
    let reread = moved_recipes.then(|| read_inputs(session, &files.lock));
    let reread = reread.transpose()?;
    let inputs = reread.as_ref().unwrap_or(&old_inputs);
    warn_of_inputs(session, inputs);

    let resolver = Resolver {
        session,
        services,
        inputs,
        wanted: inputs,
        before: &old.lock,
        upgraded: &packages,
    };
    let mut resolved = resolver.resolve(files)?;
    resolved.files.drop_unused(&session.project, inputs);
    if resolved.files == old {
        return Ok(None);
    }
    let plan = resolved.plan(&resolver)?;
    let before = if is_known {
        let local_sources = &resolved.local_sources;
        Before::of(session, services, &old_inputs, &old, local_sources)
    } else {
        Before::default()
    };
    let new = resolved.files;
    let impact = Impact::between(&before, &plan, lock_changes(&old, &new));
    Ok(Some(NewLocks { old, new, impact }))
}

/// Reads the locks and the inputs. The last value tells whether this version of sparkpack has all built-in Dockerfiles
/// that the lock names.
///
/// An unknown built-in Dockerfile is no error for an upgrade, because an upgrade is the way to replace it.
fn read(
    session: &Session<'_>,
    request: LockRequest<'_>,
) -> Result<(LockFiles, Inputs, bool), Error> {
    let lock = workspace::read_lock(&session.project.root)?;
    let (inputs, is_known) = match read_inputs(session, &lock) {
        Err(InputError::UnknownRecipe(_)) if request.upgrade.is_some() => {
            (read_inputs(session, &Lock::default())?, false)
        }
        read => (read?, true),
    };
    Ok((LockFiles::read(session, lock, &inputs)?, inputs, is_known))
}

/// Adds the revision that `--refresh` asks for.
fn refresh(session: &Session<'_>, request: LockRequest<'_>, lock: &mut Lock) -> Result<(), Error> {
    let Some((image, reason)) = request.refresh else {
        return Ok(());
    };
    session.targets(&[image.to_owned()])?;
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(UsageError::NoReason.into());
    }
    let last = lock.revisions.get(image).map_or(0, |last| last.number);
    let revision = Revision {
        number: last.saturating_add(1),
        reason: reason.to_owned(),
    };
    lock.revisions.insert(image.to_owned(), revision);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        code::Code,
        operations::{
            resolution::prepare,
            testing::{Project, Recorder},
            workspace::LockPolicy,
        },
    };

    /// A project with complete locks. It names its root image by digest, so that locking needs no registry.
    fn locked() -> Project {
        let project = Project::small();
        let pinned = format!("registry.example/root@sha256:{}", "1".repeat(64));
        project.edit("sparkpack.toml", "registry.example/root:1", &pinned);
        project.write("sparkpack.lock", "format = 1\n");
        with(&project, LockRequest::default(), |session, new| {
            new.unwrap().unwrap().write(session).unwrap();
        });
        project
    }

    /// Runs `work` on the result of a request.
    fn with<T>(
        project: &Project,
        request: LockRequest<'_>,
        work: impl FnOnce(&Session<'_>, Result<Option<NewLocks>, Error>) -> T,
    ) -> T {
        let events = Recorder::default();
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::Update);
        work(&session, relock(&session, &services, request))
    }

    fn error(project: &Project, request: LockRequest<'_>) -> Error {
        with(project, request, |_, new| new.err().unwrap())
    }

    fn refresh_of<'a>(image: &'a str, reason: &'a str) -> LockRequest<'a> {
        LockRequest {
            refresh: Some((image, reason)),
            ..LockRequest::default()
        }
    }

    #[test]
    fn complete_locks_stay_and_what_they_lack_is_added() {
        let project = locked();
        let before = project.read("sparkpack.lock");
        assert!(before.contains("[chains.main]"), "{before}");
        with(&project, LockRequest::default(), |_, new| {
            assert!(new.unwrap().is_none());
        });
        assert_eq!(project.read("sparkpack.lock"), before);
    }

    #[test]
    fn a_refresh_retags_its_image_and_what_stands_on_it_once_it_is_written() {
        let project = locked();
        let before = project.read("sparkpack.lock");
        with(&project, refresh_of("base", " CVE "), |session, new| {
            let new = new.unwrap().unwrap();
            let retagged = new.impact.retagged.iter();
            let names: Vec<&str> = retagged.map(|image| image.name.as_str()).collect();
            assert_eq!(names, ["base", "job"]);
            assert_eq!(project.read("sparkpack.lock"), before);
            new.write(session).unwrap();
        });
        let events = Recorder::default();
        let session = project.session(&events);
        let services = Services::new(&session, LockPolicy::ReadOnly);
        let lock = prepare(&session, &services).unwrap().lock;
        let revision = &lock.revisions["base"];
        assert_eq!((revision.number, revision.reason.as_str()), (1, "CVE"));
        with(&project, refresh_of("job", "again"), |_, new| {
            assert_eq!(new.unwrap().unwrap().impact.staying, 1);
        });
    }

    #[test]
    fn a_refresh_wants_an_image_and_a_reason() {
        let project = locked();
        let unknown = error(&project, refresh_of("jbo", "CVE"));
        assert_eq!(unknown.code(), Code::E084);
        let silent = error(&project, refresh_of("job", " \n"));
        assert!(
            matches!(silent, Error::Usage(UsageError::NoReason)),
            "{silent}"
        );
    }

    #[test]
    fn an_upgrade_names_something_that_is_locked() {
        let upgrade = LockRequest {
            upgrade: Some("bse"),
            ..LockRequest::default()
        };
        assert_eq!(error(&locked(), upgrade).code(), Code::E036);
    }

    #[test]
    fn only_an_upgrade_leaves_an_unknown_recipe_behind() {
        let project = Project::small();
        let of_base = "[images.base]\ndockerfile = \"base.Dockerfile\"\n";
        // The parent of `job` is then the built-in base of its chain.
        project.edit("sparkpack.toml", of_base, "");
        let digest = "0".repeat(64);
        let lock = format!("format = 1\n\n[recipes]\nbase = \"sha256:{digest}\"\n");
        project.write("sparkpack.lock", &lock);
        let request = LockRequest::default();
        assert_eq!(error(&project, request).code(), Code::E032);
        // The unknown recipe is no error here: the upgrade fails only because nothing has the name `nothing`.
        let upgrade = LockRequest {
            upgrade: Some("nothing"),
            ..request
        };
        assert_eq!(error(&project, upgrade).code(), Code::E036);
        assert_eq!(project.read("sparkpack.lock"), lock);
    }

    #[test]
    fn a_lock_that_cannot_be_read_stops_it() {
        let project = locked();
        project.write("sparkpack.lock", "format = [");
        assert_eq!(error(&project, LockRequest::default()).code(), Code::E030);
    }
}
