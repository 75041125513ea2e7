//! Looks up lock entries that are missing: digests of external images and checksums of sources.

use std::collections::{BTreeMap, BTreeSet};

use super::lock_files::{Used, used_sources};
use crate::{
    adapters::registry::Listing,
    code::Code,
    error::{Error, ImageProblem},
    image::{Digest, Platform, Reference},
    operations::{
        events::{Note, Outcome, Step, Transfer},
        workspace::{LockPolicy, Services, Session},
    },
    plan::Inputs,
    project::{
        Project,
        lock::{Lock, LockedImage, LockedSource},
        place::{Defect, Place},
        source::Origin,
    },
};

/// Looks up missing entries.
pub(crate) struct Lookup<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) services: &'a Services<'a>,
    pub(crate) inputs: &'a Inputs,
    /// The lock before `--upgrade` removed entries to be looked up again.
    pub(crate) before: &'a Lock,
}

impl Lookup<'_> {
    /// Adds the external images that `lock` lacks. If the project now uses more platforms of an index than `lock` has,
    /// they are read from the same index.
    pub(crate) fn images(&self, lock: &mut Lock) -> Result<(), Error> {
        for (text, platforms) in Used::of(&self.session.project, self.inputs).images {
            match lock.images.get(text) {
                None => {
                    if let Some(found) = self.image(text, &platforms)? {
                        lock.images.insert(text.to_owned(), found);
                    }
                }
                Some(LockedImage::Registry {
                    digest,
                    platforms: known,
                }) => {
                    let is_index = !known.values().any(|manifest| manifest == digest);
                    let is_whole = platforms.iter().all(|used| known.contains_key(*used));
                    // An entry without platforms was never read as an index, for example because the image is named by
                    // digest. Its platforms are not needed.
                    let is_known = known.is_empty() || !is_index || is_whole;
                    if !is_index {
                        self.refuse_absent(text, &platforms, known, is_index)?;
                    }
                    if !is_known && self.services.policy() == LockPolicy::Update {
                        let pinned = reference(text)?.repository.with_digest(digest);
                        if let Some(listing) = self.services.registry()?.listing(&pinned)? {
                            let found = self.locked(text, &platforms, listing)?;
                            lock.images.insert(text.to_owned(), found);
                        }
                    }
                }
                Some(LockedImage::LocalDaemon { .. }) => {}
            }
        }
        Ok(())
    }

    /// The lock entry for an external image: its digest in the registry. If the registry does not have the image or
    /// cannot be asked, the entry is the image ID in the daemon. `None` if the policy forbids the look-up.
    fn image(
        &self,
        text: &str,
        platforms: &BTreeSet<&Platform>,
    ) -> Result<Option<LockedImage>, Error> {
        let reference = reference(text)?;
        if let Some(digest) = reference.digest {
            return Ok(Some(LockedImage::Registry {
                digest,
                platforms: BTreeMap::new(),
            }));
        }
        if self.services.policy() != LockPolicy::Update {
            return Ok(None);
        }
        let refused = match self.services.registry()?.listing(&reference) {
            Ok(Some(listing)) => {
                let digest = listing.digest.clone();
                let locked = self.locked(text, platforms, listing)?;
                self.session.events.note(Note::LockedByRegistry {
                    image: text,
                    digest: &digest,
                });
                return Ok(Some(locked));
            }
            Ok(None) => None,
            Err(error) => Some(Error::from(error)),
        };
        let had_it = matches!(
            self.before.images.get(text),
            Some(LockedImage::Registry { .. })
        );
        if had_it {
            // Only this machine's daemon has that image ID: with it in the lock, no other machine could build.
            return Err(refused.unwrap_or_else(|| Error::unexpected(&text, ImageProblem::Gone)));
        }
        self.local(text, refused).map(Some)
    }

    /// The lock entry for the image in the daemon. `refused` says why the registry could not be asked, and is the error
    /// if nothing comes of the daemon either.
    fn local(&self, text: &str, refused: Option<Error>) -> Result<LockedImage, Error> {
        let daemon = self.services.daemon();
        let found = daemon.and_then(|daemon| Ok(daemon.inspect(text)?));
        match (found, refused) {
            (Ok(Some(info)), refused) => {
                self.session.events.note(Note::LockedByDaemon {
                    image: text,
                    id: &info.id,
                    refused: refused.as_ref(),
                });
                Ok(LockedImage::LocalDaemon { local_id: info.id })
            }
            (_, Some(refused)) => Err(refused),
            (Ok(None), None) => Err(Error::unexpected(&text, ImageProblem::Nowhere)),
            (Err(error), None) => Err(error),
        }
    }

    /// The lock entry for the registry's image. An index that lacks one of `platforms` is an error.
    fn locked(
        &self,
        text: &str,
        platforms: &BTreeSet<&Platform>,
        mut listing: Listing,
    ) -> Result<LockedImage, Error> {
        self.refuse_absent(text, platforms, &listing.platforms, listing.is_index())?;
        listing
            .platforms
            .retain(|platform, _| platforms.contains(platform));
        Ok(LockedImage::Registry {
            digest: listing.digest,
            platforms: listing.platforms,
        })
    }

    /// Refuses an image that lacks one of `platforms`. One image cannot be for several; what it says of its only platform
    /// is judged when it is used.
    fn refuse_absent(
        &self,
        text: &str,
        platforms: &BTreeSet<&Platform>,
        there: &BTreeMap<Platform, Digest>,
        is_index: bool,
    ) -> Result<(), Error> {
        let mut platforms_of = platforms.iter();
        let absent = platforms_of.find(|platform| !there.contains_key(**platform));
        let Some(platform) = absent.filter(|_| is_index || platforms.len() > 1) else {
            return Ok(());
        };
        if there.is_empty() {
            return Ok(());
        }
        let there: Vec<String> = there.keys().map(ToString::to_string).collect();
        let message = format!(
            "`{text}` is wanted for {platform}, which it does not have; it has {}",
            there.join(", ")
        );
        Err(Defect::new(Code::E092, self.place(text, platform), message)
            .hint("correct `platforms`, or name another image")
            .into())
    }

    /// The place in the configuration of an image that uses the external image `text` on `platform`.
    fn place(&self, text: &str, platform: &Platform) -> Place {
        let project: &Project = &self.session.project;
        let users = self
            .inputs
            .iter()
            .filter(|(_, inputs)| inputs.recipe.external_images().any(|used| used == text));
        let mut images = users.filter_map(|(name, _)| project.images.get(name));
        let image = images.find(|image| image.platforms.contains(platform));
        image.map_or_else(
            || Place::of_line(crate::project::FILE_NAME, 1),
            |image| image.place.clone(),
        )
    }

    /// Adds the checksums of sources that neither `lock` nor the configuration has.
    pub(crate) fn sources(&self, lock: &mut Lock) -> Result<(), Error> {
        for name in used_sources(self.inputs) {
            let Some(source) = self.session.project.sources.get(&name) else {
                continue;
            };
            let key = source.origin.to_string();
            let is_known = source.sha256.is_some() || lock.sources.contains_key(&key);
            if is_known || matches!(source.origin, Origin::Path(_)) {
                continue;
            }
            let mut progress = self.session.events.begin(&name);
            progress.step(Step::Fetch(&key));
            let fetched = self
                .services
                .fetcher()
                .checksum(source, &mut |done, total| {
                    progress.moved(Transfer::Fetched, done, total);
                });
            let sha256: Digest = fetched?;
            progress.end(Outcome::Fetched(&key));
            lock.sources.insert(key, LockedSource { sha256 });
        }
        Ok(())
    }
}

pub(super) fn reference(text: &str) -> Result<Reference, Error> {
    let parsed = text.parse();
    parsed.map_err(|error| Error::unexpected(&text, ImageProblem::CannotBeLookedUp(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapters::{
            docker::DockerError,
            fakes::{denied, image, unreachable},
        },
        operations::{
            resolution::prepare,
            testing::{Project, ROOT, TestRun},
        },
    };

    /// A project whose lock lacks its only external image.
    fn without_lock() -> TestRun {
        let project = Project::small();
        project.write("sparkpack.lock", "format = 1\n");
        TestRun {
            policy: LockPolicy::Update,
            ..TestRun::new(project)
        }
    }

    fn lock_of(run: &TestRun) -> Result<Lock, Error> {
        run.run(|session, services| Ok(prepare(session, services)?.lock))
    }

    /// The error of [`lock_of`], after a check that it wrote and reported nothing.
    fn refused(run: &TestRun) -> Error {
        let before = run.project.read("sparkpack.lock");
        let error = lock_of(run).err().unwrap();
        assert_eq!(run.project.read("sparkpack.lock"), before);
        assert_eq!(run.events.told(), [""; 0]);
        error
    }

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    /// An index with these platforms.
    fn index(platforms: &[&str]) -> Listing {
        let manifests = platforms.iter().map(|text| {
            let digest = Digest::of(text.as_bytes());
            (platform(text), digest)
        });
        Listing {
            digest: Digest::of(b"index"),
            platforms: manifests.collect(),
        }
    }

    #[test]
    fn the_registrys_digest_is_locked_with_the_platforms_that_are_used() {
        let lacking = without_lock();
        lacking
            .registry
            .list(ROOT, index(&["linux/amd64", "linux/arm64"]));
        let lock = lock_of(&lacking).unwrap();
        let used = "linux/amd64";
        let locked = LockedImage::Registry {
            digest: Digest::of(b"index"),
            platforms: [(platform(used), Digest::of(used.as_bytes()))].into(),
        };
        assert_eq!(lock.images[ROOT], locked);
        let digest = Digest::of(b"index");
        assert_eq!(
            lacking.events.told(),
            [
                format!("locked {ROOT} by {digest}"),
                "wrote sparkpack.lock".to_owned()
            ]
        );
        // A locked image is not looked up again.
        lacking.registry.fail_next(unreachable());
        assert_eq!(lock_of(&lacking).unwrap().images[ROOT], locked);
        assert_eq!(lacking.events.told(), [""; 0]);
    }

    #[test]
    fn an_image_without_a_platform_that_is_used_is_refused() {
        let lacking = without_lock();
        lacking
            .registry
            .list(ROOT, index(&["linux/arm64", "linux/s390x"]));
        let error = refused(&lacking);
        assert_eq!(error.code(), Code::E092);
        let text = error.to_string();
        assert!(text.contains("it has linux/arm64, linux/s390x"), "{text}");
        assert!(
            text.starts_with("sparkpack.toml:10"),
            "the image that uses it: {text}"
        );
        // A manifest that is no index has one platform, which a registry's answer need not tell.
        let alone = Listing {
            platforms: BTreeMap::new(),
            ..index(&[])
        };
        lacking.registry.list(ROOT, alone);
        lock_of(&lacking).unwrap();
    }

    #[test]
    fn a_platform_that_is_new_to_an_index_is_looked_up_in_it() {
        let lacking = without_lock();
        lacking
            .registry
            .list(ROOT, index(&["linux/amd64", "linux/arm64"]));
        lock_of(&lacking).unwrap();
        let both = "format = 1\nplatforms = [\"linux/amd64\", \"linux/arm64\"]";
        lacking.project.edit("sparkpack.toml", "format = 1", both);
        let pinned = format!("registry.example/root@{}", Digest::of(b"index"));
        lacking
            .registry
            .list(&pinned, index(&["linux/amd64", "linux/arm64"]));
        let LockedImage::Registry { platforms, .. } = &lock_of(&lacking).unwrap().images[ROOT]
        else {
            panic!("it is in the registry")
        };
        assert_eq!(platforms.len(), 2);
        let three = both.replace(']', ", \"linux/s390x\"]");
        lacking.project.edit("sparkpack.toml", both, &three);
        lacking.events.told();
        assert_eq!(refused(&lacking).code(), Code::E092);
    }

    #[test]
    fn what_only_the_daemon_has_is_locked_by_its_id() {
        for refused in [None, Some(denied())] {
            let lacking = without_lock();
            if let Some(error) = refused {
                lacking.registry.fail_next(error);
            }
            let root = image("root");
            lacking.daemon.images.put(ROOT, root.clone());
            let lock = lock_of(&lacking).unwrap();
            let local_id = root.id.clone();
            assert_eq!(lock.images[ROOT], LockedImage::LocalDaemon { local_id });
            let told = lacking.events.told();
            assert_eq!(told[0], format!("locked {ROOT} by its ID {}", root.id));
        }
    }

    #[test]
    fn what_nobody_has_is_an_error_that_says_why() {
        let lacking = without_lock();
        let error = refused(&lacking);
        assert_eq!(error.code(), Code::E606);
        assert!(
            error
                .to_string()
                .contains("neither its registry nor the local daemon"),
            "{error}"
        );
        for (error, code) in [(denied(), Code::E402), (unreachable(), Code::E501)] {
            lacking.registry.fail_next(error);
            assert_eq!(refused(&lacking).code(), code);
        }
        lacking.daemon.images.fail_next(DockerError::Answer {
            doing: "inspect".to_owned(),
            message: "gone".to_owned(),
        });
        assert_eq!(refused(&lacking).code(), Code::E605);
    }
}
