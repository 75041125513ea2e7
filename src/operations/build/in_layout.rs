//! Provides the images of stages in an OCI image layout: that of each platform and, over several, an index.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    in_daemon::on_platform, layout::LayoutBuilder, run::Run, schedule::run_on_stages,
    stage::StageBuilder,
};
use crate::{
    adapters::{docker::DockerError, layout::ImageLayout},
    error::{Error, ImageProblem},
    image::{Descriptor, Family, Platform},
    operations::{
        dist::{Action, BuiltImage, ImageResult, Packer, Size},
        events::{Note, Outcome},
    },
    plan::{PlatformStage, Stage, decision::Answers},
};

/// The layout's images of the targets, each on its platforms, and of what they stand on: what only gets files is put
/// together, what only a builder can make is taken from the registry or else built in the daemon. `no_daemon` is why
/// there is none, if one was asked.
pub(super) fn in_layout(
    run: &Run<'_>,
    packer: &Packer<'_>,
    (layout, no_daemon): (&ImageLayout, Option<&Arc<DockerError>>),
    by_platform: &BTreeMap<Platform, Vec<String>>,
) -> Result<BTreeMap<String, ImageResult>, Error> {
    let builder = StageBuilder::new(run, packer, Answers::new());
    let of_platform = |(platform, targets): (_, &Vec<String>)| {
        LayoutBuilder::new(run, &builder, layout, (targets, platform))
    };
    let builders: Result<_, Error> = by_platform.iter().map(of_platform).collect();
    let mut platforms = Platforms {
        run,
        layout,
        builders: builders?,
    };
    let lacking = platforms.builders.iter().flat_map(LayoutBuilder::lacking);
    run.require_exports(lacking)?;
    platforms.make_missing(packer, no_daemon)?;
    let builders = platforms.builders.iter();
    let names: BTreeSet<String> = builders.flat_map(|one| one.names().cloned()).collect();
    run.session.dist().keep_out_of_git()?;
    let plan = &run.prepared.plan;
    let made = run_on_stages(run.session.events, plan, &names, &|stage, below| {
        platforms.make(stage, below)
    })?;
    let results = made.into_iter().map(|(name, made)| {
        let result = made.result(run, &plan.stages[&name]);
        Ok((name, result?))
    });
    results.collect()
}

/// A stage in the layout after a build.
#[derive(Clone)]
struct StageInLayout {
    /// The image of each platform that was looked at.
    images: BTreeMap<Platform, BuiltImage>,
    /// Whether the index over them was written.
    is_new: bool,
}

impl StageInLayout {
    fn is_reused(&self) -> bool {
        let mut images = self.images.values();
        !self.is_new && images.all(|image| image.action == Action::Reused)
    }

    fn size(&self) -> u64 {
        self.images.values().map(|image| image.info.size).sum()
    }

    fn result(&self, run: &Run<'_>, stage: &Stage) -> Result<ImageResult, Error> {
        let reference = stage.reference(run.registry);
        let first = self.images.values().next();
        let first = first.ok_or_else(|| Error::unexpected(reference, ImageProblem::Gone))?;
        let mut actions = self.images.values().map(|image| image.action);
        let changed = actions.find(|action| *action != Action::Reused);
        let if_the_same = if self.is_new {
            Action::Built
        } else {
            Action::Reused
        };
        Ok(ImageResult {
            name: stage.name.clone(),
            reference: reference.clone(),
            digest: None,
            id: first.info.id.clone(),
            size: Size {
                unpacked: None,
                compressed: Some(self.size()),
            },
            action: changed.unwrap_or(if_the_same),
        })
    }
}

/// Provides the images of stages in a layout, on all platforms.
struct Platforms<'a> {
    run: &'a Run<'a>,
    layout: &'a ImageLayout,
    /// One for each platform.
    builders: Vec<LayoutBuilder<'a>>,
}

impl Platforms<'_> {
    /// Builds in the daemon what only a builder can make and the registry lacks.
    fn make_missing(
        &mut self,
        packer: &Packer<'_>,
        no_daemon: Option<&Arc<DockerError>>,
    ) -> Result<(), Error> {
        let stages = &self.run.prepared.plan.stages;
        let missing = self.builders.iter().flat_map(|one| {
            let missing = one.missing.iter();
            missing.map(|name| stages[name].on_or_first(one.platform))
        });
        let missing: Vec<&PlatformStage> = missing.collect();
        let Some(first) = self.builders.first().filter(|_| !missing.is_empty()) else {
            return Ok(());
        };
        // A daemon that did not answer is not asked again.
        let asked = match no_daemon {
            Some(why) => Err(Arc::clone(why)),
            None => match self.run.services.daemon() {
                Ok(_) => Ok(()),
                Err(Error::Docker(why)) => Err(Arc::new(why)),
                Err(error) => return Err(error),
            },
        };
        let Err(why) = asked else {
            first.builder.refuse_hopeless(missing)?;
            for one in &mut self.builders {
                one.adopt_below()?;
                one.in_daemon = on_platform(self.run, packer, &one.missing, one.platform)?;
            }
            return Ok(());
        };
        let mut builders = self.builders.iter_mut();
        let no_registry = builders.find_map(|one| one.no_registry.take());
        let images = missing.iter().map(|stage| (&*stage.title, &*stage.name));
        Err(Error::no_builder(images, why, no_registry))
    }

    /// Provides a stage on each platform that it is needed on and, if those are all of several, an index over them.
    fn make(
        &self,
        stage: &Stage,
        below: &BTreeMap<String, StageInLayout>,
    ) -> Result<StageInLayout, Error> {
        let mut images = BTreeMap::new();
        for on in &stage.platforms {
            let mut builders = self.builders.iter();
            let wanted = |one: &&LayoutBuilder<'_>| *one.platform == on.platform;
            let Some(builder) = builders.find(wanted).filter(|one| one.has(&stage.name)) else {
                continue;
            };
            let parents = below.iter().filter_map(|(name, parent)| {
                let image = parent.images.get(&on.platform)?;
                Some((name.clone(), image.clone()))
            });
            images.insert(on.platform.clone(), builder.make(on, &parents.collect())?);
        }
        let mut made = StageInLayout {
            images,
            is_new: false,
        };
        let is_index = stage.has_several_platforms() && made.images.len() == stage.platforms.len();
        if is_index {
            made.is_new = self.put_index(stage, &made)?;
        }
        self.tell_reused(stage, &made, is_index);
        Ok(made)
    }

    /// Gives an index over the images of a stage its tag, and returns whether that is new.
    fn put_index(&self, stage: &Stage, made: &StageInLayout) -> Result<bool, Error> {
        let reference = stage.reference(self.run.registry);
        let descriptor = |(platform, image): (&Platform, &BuiltImage)| {
            let found = self.layout.find(&image.reference.to_string(), platform)?;
            let gone = || Error::unexpected(&image.reference, ImageProblem::Gone);
            Ok(found.ok_or_else(gone)?.descriptor())
        };
        let images: Result<Vec<Descriptor>, Error> = made.images.iter().map(descriptor).collect();
        // Images in a layout are always of OCI.
        let index = self.layout.add_index(Family::Oci, &images?)?;
        let name = reference.to_string();
        let there = self.layout.descriptor(&name)?;
        if there.is_some_and(|there| there.digest == index.digest) {
            return Ok(false);
        }
        let mut progress = self.run.session.events.begin(&stage.title);
        self.layout.tag(&name, &index)?;
        progress.end(Outcome::Built {
            reference,
            size: made.size(),
        });
        Ok(true)
    }

    /// Tells what was there: the whole in one line if it was.
    fn tell_reused(&self, stage: &Stage, made: &StageInLayout, is_index: bool) {
        let events = self.run.session.events;
        if is_index && made.is_reused() {
            events.note(Note::InDaemon {
                stage: &stage.title,
                reference: stage.reference(self.run.registry),
            });
            return;
        }
        for on in &stage.platforms {
            if let Some(image) = made.images.get(&on.platform)
                && image.action == Action::Reused
            {
                events.note(Note::InDaemon {
                    stage: &on.title,
                    reference: &image.reference,
                });
            }
        }
    }
}
