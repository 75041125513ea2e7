//! `sparkpack plan`: says what a build would do, and why; changes nothing, and sends nothing over the network.

mod document;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::{
        docker::{Daemon, DockerError},
        git::NoGit,
        registry::Presence,
    },
    cli::{PlanArguments, PlanFormat},
    error::Error,
    image::{ImageInfo, Reference},
    operations::{
        manifests::{self, Digests, Examined, ExpectedReferences, Manifests, Scope},
        publish,
        resolution::{self, Prepared},
        workspace::{LockPolicy, Services, Session},
    },
    plan::reasons::{self, Found, State},
    project::left_out::{self, Folder},
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &PlanArguments) -> Result<(), Error> {
    let chosen = arguments.images.registry.registry.as_deref();
    let (registry, prefix) = session.registry(chosen)?;
    let targets = session.targets(&arguments.images.images)?;
    let scope = Scope {
        registry: chosen,
        images: &targets,
    };
    let services = Services::new(session);
    let prepared = resolution::prepare(session, &services, LockPolicy::ReadOnly)?;
    let pins = publish::read_pins(session)?;
    let expected = ExpectedReferences::of_plan(session, &prepared, scope, Digests::Pinned(&pins))?;
    let manifests = Manifests::of(session, scope.registry)?;
    let examined = manifests.examine(&expected)?;
    manifests::warn(session, &prepared, scope, &examined);
    let planner = Planner {
        ui,
        session,
        prepared: &prepared,
        targets: &targets,
        references: references(session, &prepared, prefix)?,
    };
    let (states, daemon) = planner.states(&manifests)?;
    let known = Known {
        registry,
        remote: arguments
            .remote
            .then(|| planner.remote(&services, states.keys()))
            .transpose()?,
        states,
        daemon,
        examined,
        untracked: resolution::untracked_inputs(session, &prepared, &targets),
        left_out: planner.left_out()?,
    };
    match arguments.format {
        PlanFormat::Text => text::print(&planner, &known),
        PlanFormat::Json => document::print(&planner, &known),
    }
}

/// What a plan is made from.
struct Planner<'a> {
    ui: &'a Ui,
    session: &'a Session<'a>,
    prepared: &'a Prepared,
    targets: &'a [String],
    references: BTreeMap<String, Reference>,
}

/// What was found out.
struct Known<'a> {
    /// The name of the registry in the configuration.
    registry: &'a str,
    /// Of the images that a build would look at.
    states: BTreeMap<String, State>,
    /// Why the daemon was not asked, where it was not.
    daemon: Option<DockerError>,
    /// Which images the registry has, where it was asked.
    remote: Option<BTreeMap<String, Presence>>,
    examined: Vec<Examined>,
    untracked: Result<Vec<String>, NoGit>,
    /// By image; only for who wants to know.
    left_out: BTreeMap<String, Vec<Folder>>,
}

fn references(
    session: &Session<'_>,
    prepared: &Prepared,
    prefix: &str,
) -> Result<BTreeMap<String, Reference>, Error> {
    let stages = prepared.plan.stages.values();
    stages
        .map(|stage| {
            Ok((
                stage.name.clone(),
                resolution::reference(session, stage, prefix)?,
            ))
        })
        .collect()
}

impl Planner<'_> {
    /// What a build would come to, and why the daemon could not be asked where it could not.
    fn states(
        &self,
        manifests: &Manifests<'_>,
    ) -> Result<(BTreeMap<String, State>, Option<DockerError>), Error> {
        match self.states_by_daemon() {
            Ok(states) => Ok((states, None)),
            Err(error) => Ok((self.states_by_manifests(manifests)?, Some(error))),
        }
    }

    fn states_by_daemon(&self) -> Result<BTreeMap<String, State>, DockerError> {
        let daemon = Daemon::try_connect_local()?;
        let plan = &self.prepared.plan;
        let mut images: BTreeMap<String, Option<ImageInfo>> = BTreeMap::new();
        let needed = plan.needed(self.targets, |stage| {
            let found = daemon.inspect(&self.references[&stage.name].to_string())?;
            let is_to_build = reasons::to_build(stage, found.as_ref(), None).is_some();
            images.insert(stage.name.clone(), found);
            Ok::<_, DockerError>(is_to_build)
        })?;
        let found = images.iter().map(|(name, image)| {
            let inputs = self.prepared.inputs.get(name);
            let found = Found {
                stage: &plan.stages[name],
                reference: &self.references[name],
                image: image.as_ref(),
                base: inputs.and_then(|inputs| inputs.base.as_deref()),
            };
            (name.clone(), found)
        });
        Ok(reasons::states(
            &self.prepared.order,
            &needed,
            &found.collect(),
        ))
    }

    fn states_by_manifests(
        &self,
        manifests: &Manifests<'_>,
    ) -> Result<BTreeMap<String, State>, Error> {
        let plan = &self.prepared.plan;
        let mut wanted: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
        for prefix in self.session.project.registries.values() {
            for (name, reference) in references(self.session, self.prepared, prefix)? {
                wanted.entry(name).or_default().push(reference);
            }
        }
        let named = manifests::references(manifests.named()?);
        let states = reasons::states_by_manifests(plan, &wanted, &named);
        let is_to_build = |name: &str| states.get(name) != Some(&State::Current);
        let needed: BTreeSet<String> = plan.needed(self.targets, |stage| {
            Ok::<_, Error>(is_to_build(&stage.name))
        })?;
        Ok(states
            .into_iter()
            .filter(|(name, _)| needed.contains(name))
            .collect())
    }

    /// What the registry has, by HEAD requests alone.
    fn remote<'b>(
        &self,
        services: &Services<'_>,
        names: impl Iterator<Item = &'b String>,
    ) -> Result<BTreeMap<String, Presence>, Error> {
        names
            .map(|name| {
                let presence = services.registry()?.presence(&self.references[name])?;
                Ok((name.clone(), presence))
            })
            .collect()
    }

    /// What is no input, for who asked with `-vv`.
    fn left_out(&self) -> Result<BTreeMap<String, Vec<Folder>>, Error> {
        let mut left_out = BTreeMap::new();
        if self.ui.verbosity() < 2 {
            return Ok(left_out);
        }
        let project = &self.session.project;
        for name in self.prepared.plan.with_parents(self.targets) {
            let image = project
                .images
                .get(&name)
                .zip(self.prepared.inputs.get(&name));
            if let Some((image, inputs)) = image {
                left_out.insert(name, left_out::of(project, image, inputs)?);
            }
        }
        Ok(left_out)
    }

    /// Where an instruction that may use the network stands, in words.
    fn network(&self, name: &str) -> Option<Network> {
        let inputs = self.prepared.inputs.get(name)?;
        Some(Network {
            file: inputs.dockerfile.file().display().to_string(),
            line: inputs.resolution.network()?,
            is_built_in: inputs.built_in.is_some(),
        })
    }
}

/// The first instruction of a Dockerfile that may use the network.
struct Network {
    file: String,
    line: usize,
    is_built_in: bool,
}
