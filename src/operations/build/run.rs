//! The input of a build or a push: the plan, and the registry that the images' references name.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::{
        destination::{Destination, ImageDaemon},
        docker::TransferEvent,
        registry::RegistryImage,
    },
    error::{Error, ImageProblem},
    image::{Digest, ImageInfo, Platform, Reference},
    operations::{
        resolution::Prepared,
        workspace::{Services, Session, side_by_side},
    },
    plan::{
        PlatformStage, Stage,
        decision::{self, Answers, Asked},
    },
    project::Registry,
};

/// A plan, and the registry that the references of its images name.
pub(crate) struct Run<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) services: &'a Services<'a>,
    pub(crate) prepared: &'a Prepared,
    pub(crate) registry: &'a Registry,
}

impl Run<'_> {
    /// The input of the decisions about `targets` on a platform, except what the destinations answer.
    pub(crate) fn asked<'b>(&'b self, targets: &'b [String], platform: &'b Platform) -> Asked<'b> {
        Asked {
            plan: &self.prepared.plan,
            registry: self.registry,
            targets,
            platform,
        }
    }

    /// Those of `targets` that are made for each platform.
    pub(crate) fn by_platform(&self, targets: &[String]) -> BTreeMap<Platform, Vec<String>> {
        self.grouped(targets, |stage| stage.platforms.iter().collect())
    }

    /// The targets by the platforms on which they are chosen.
    fn grouped<'s>(
        &'s self,
        targets: &[String],
        chosen: impl Fn(&'s Stage) -> Vec<&'s PlatformStage>,
    ) -> BTreeMap<Platform, Vec<String>> {
        let mut of_platforms: BTreeMap<Platform, Vec<String>> = BTreeMap::new();
        for name in targets {
            for on in chosen(&self.prepared.plan.stages[name]) {
                let of_platform = of_platforms.entry(on.platform.clone()).or_default();
                of_platform.push(name.clone());
            }
        }
        of_platforms
    }

    /// The platform on which a daemon gets each of `targets`: its own or, if an image is not made for that, the image's
    /// first. The daemon is asked for its own only if there is a choice.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub(crate) fn by_platform_of(
        &self,
        daemon: &dyn ImageDaemon,
        targets: &[String],
    ) -> Result<BTreeMap<Platform, Vec<String>>, Error> {
        let stages = &self.prepared.plan.stages;
        let has_choice = |name: &String| stages[name].has_several_platforms();
        let own = if targets.iter().any(has_choice) {
            Some(daemon.platform()?)
        } else {
            None
        };
        Ok(self.grouped(targets, |stage| {
            let own = own.as_ref().map(|own| stage.on_or_first(own));
            vec![own.unwrap_or_else(|| stage.first())]
        }))
    }

    /// The platforms for which not all `targets` that have them are `made`.
    pub(crate) fn other_platforms(
        &self,
        targets: &[String],
        made: &BTreeMap<Platform, Vec<String>>,
    ) -> Vec<Platform> {
        let all = self.by_platform(targets).into_iter();
        let left_out = all.filter(|(platform, targets)| {
            let made = made.get(platform);
            let is_made = |name| made.is_some_and(|made| made.contains(name));
            !targets.iter().all(is_made)
        });
        left_out.map(|(platform, _)| platform).collect()
    }

    /// Looks up the targets on a platform in a destination, then the parents of images that it lacks. Several look-ups
    /// run at once.
    ///
    /// # Errors
    /// The destination cannot be asked.
    pub(crate) fn ask_for_needed(
        &self,
        targets: &[String],
        platform: &Platform,
        destination: &dyn Destination<Stored = ImageInfo>,
    ) -> Result<Answers, Error> {
        let asked = self.asked(targets, platform);
        let mut answers = Answers::new();
        loop {
            let names = asked.unanswered(&answers);
            if names.is_empty() {
                return Ok(answers);
            }
            let found = self.ask(names, platform, destination)?.into_iter();
            answers.extend(found.map(|(name, found)| {
                let stage = self.prepared.plan.stages[&name].on_or_first(platform);
                (name, found.map(|found| self.as_made(stage, found)))
            }));
        }
    }

    /// Has the daemon pull a registry's image by its digest, and gives it the tag of `reference`.
    ///
    /// # Errors
    /// It did not arrive.
    pub(crate) fn pulled_as(
        &self,
        reference: &Reference,
        image: &RegistryImage,
        events: &mut dyn FnMut(TransferEvent),
    ) -> Result<ImageInfo, Error> {
        let (services, daemon) = (self.services, self.services.daemon()?);
        let pinned = reference.repository.with_digest(&image.digest);
        let registry_auth = services.registry_auth(&pinned.repository)?;
        daemon.pull(&pinned, &image.info.platform, &registry_auth, events)?;
        // Its image ID is the daemon's own: of the config, or of the manifest in the containerd store.
        let pulled = daemon.inspect(&pinned.to_string())?;
        let info = pulled.ok_or_else(|| Error::unexpected(&pinned, ImageProblem::Gone))?;
        daemon.tag(&info, reference)?;
        Ok(info)
    }

    /// What the daemon has of a stage.
    ///
    /// # Errors
    /// It cannot be asked.
    pub(super) fn find_in_daemon(
        &self,
        stage: &PlatformStage,
        daemon: &dyn Destination<Stored = ImageInfo>,
    ) -> Result<Option<ImageInfo>, Error> {
        let found = daemon.find(stage.reference(self.registry), &stage.platform)?;
        Ok(found.map(|found| self.as_made(stage, found)))
    }

    /// Looks up these stages on a platform in a destination. Several look-ups run at once.
    ///
    /// # Errors
    /// The destination cannot be asked.
    pub(crate) fn ask<I>(
        &self,
        names: BTreeSet<String>,
        platform: &Platform,
        destination: &dyn Destination<Stored = I>,
    ) -> Result<BTreeMap<String, Option<I>>, Error>
    where
        I: AsRef<ImageInfo> + Clone + Send,
    {
        let names: Vec<String> = names.into_iter().collect();
        let found = side_by_side(&names, &|name: &String| {
            let stage = self.prepared.plan.stages[name].on_or_first(platform);
            destination.find(stage.reference(self.registry), &stage.platform)
        });
        // A destination that fails for one stage usually fails for all, so only the first error is reported.
        let found: Vec<Option<I>> = found.into_iter().collect::<Result<_, _>>()?;
        Ok(names.into_iter().zip(found).collect())
    }
}

/// Refuses the image of a reference if it was made from other inputs than those of this fingerprint, or not by sparkpack.
///
/// # Errors
/// [`Error::Conflict`].
pub(crate) fn refuse_conflict(
    fingerprint: &Digest,
    reference: &Reference,
    image: &ImageInfo,
) -> Result<(), Error> {
    match decision::conflict(fingerprint, image) {
        Some(found) => Err(Error::Conflict {
            reference: reference.clone(),
            found,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Condvar, Mutex},
        time::Duration,
    };

    use super::*;
    use crate::{
        adapters::{
            destination::DestinationError,
            fakes::{InMemory, image, refused},
        },
        code::Code,
        image::Reference,
        operations::{
            testing::{Project, Recorder},
            workspace::LockPolicy,
        },
        plan::{Stage, examples},
        project::lock::Lock,
    };

    /// A destination that has every image, but answers only once `wanted` requests have arrived. After a timeout it
    /// answers that it has no image.
    struct Gathering {
        wanted: usize,
        inside: Mutex<usize>,
        all: Condvar,
    }

    impl Gathering {
        fn of(wanted: usize) -> Self {
            Self {
                wanted,
                inside: Mutex::new(0),
                all: Condvar::new(),
            }
        }
    }

    impl Destination for Gathering {
        type Stored = ImageInfo;

        fn find(
            &self,
            reference: &Reference,
            _platform: &Platform,
        ) -> Result<Option<ImageInfo>, DestinationError> {
            let mut inside = self.inside.lock().unwrap();
            *inside += 1;
            self.all.notify_all();
            let deadline = Duration::from_secs(10);
            let is_short = |inside: &mut usize| *inside < self.wanted;
            let waited = self.all.wait_timeout_while(inside, deadline, is_short);
            let waited = waited.unwrap().1;
            Ok((!waited.timed_out()).then(|| image(&reference.to_string())))
        }

        fn tag(&self, _: &ImageInfo, _: &Reference) -> Result<bool, DestinationError> {
            Ok(false)
        }
    }

    /// Runs `work` on a plan of these stages.
    fn with_stages<T>(stages: Vec<Stage>, work: impl FnOnce(&Run<'_>) -> T) -> T {
        let (project, events) = (Project::small(), Recorder::default());
        let session = project.session(&events);
        work(&Run {
            session: &session,
            services: &Services::new(&session, LockPolicy::ReadOnly),
            prepared: &Prepared {
                replaced: BTreeMap::new(),
                plan: examples::plan(stages),
                lock: Lock::default(),
                local_sources: BTreeMap::new(),
            },
            registry: &examples::registry(),
        })
    }

    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

    fn names() -> Vec<String> {
        NAMES.map(str::to_owned).to_vec()
    }

    fn siblings() -> Vec<Stage> {
        NAMES.map(|name| examples::stage(name, None, &[])).into()
    }

    #[test]
    fn a_destination_is_asked_for_all_stages_at_once() {
        with_stages(siblings(), |run| {
            let found = run.ask(
                names().into_iter().collect(),
                &Platform::default(),
                &Gathering::of(5),
            );
            for (name, found) in found.unwrap() {
                let stage = &run.prepared.plan.stages[&name];
                let own = image(&stage.reference(run.registry).to_string());
                assert_eq!(
                    found,
                    Some(own),
                    "all asked at once, and each has its own answer"
                );
            }
            let answers = run
                .ask_for_needed(&names(), &Platform::default(), &Gathering::of(5))
                .unwrap();
            assert!(answers.values().all(Option::is_some), "all asked at once");
            assert_eq!(answers.into_keys().collect::<Vec<_>>(), NAMES);
        });
    }

    #[test]
    fn only_what_a_missing_image_stands_on_is_asked_for_as_well() {
        let stages = vec![
            examples::stage("base", None, &[]),
            examples::stage("job", Some("base"), &[]),
        ];
        with_stages(stages, |run| {
            let job = ["job".to_owned()];
            let destination: InMemory<ImageInfo> = InMemory::default();
            let answers = run
                .ask_for_needed(&job, &Platform::default(), &destination)
                .unwrap();
            assert_eq!(answers.into_keys().collect::<Vec<_>>(), ["base", "job"]);
            let stage = &run.prepared.plan.stages["job"];
            let mut there = image("job");
            let fingerprint = stage.fingerprint.hex().to_owned();
            there
                .labels
                .insert(crate::image::LABEL_FINGERPRINT.to_owned(), fingerprint);
            let reference = stage.reference(run.registry).to_string();
            destination.put(&reference, there);
            let answers = run
                .ask_for_needed(&job, &Platform::default(), &destination)
                .unwrap();
            assert_eq!(answers.into_keys().collect::<Vec<_>>(), ["job"]);
        });
    }

    #[test]
    fn a_destination_that_fails_is_told_once() {
        with_stages(siblings(), |run| {
            let destination: InMemory<ImageInfo> = InMemory::default();
            for _ in NAMES {
                destination.fail_next(refused());
            }
            let asked = run.ask(
                names().into_iter().collect(),
                &Platform::default(),
                &destination,
            );
            let error = asked.unwrap_err();
            assert_eq!((error.code(), error.each().len()), (Code::E502, 1));
        });
    }
}
