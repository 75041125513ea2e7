//! `sparkpack plan`: shows what a build would do, and why. It changes nothing. Only `--remote` uses the network, to
//! read from the registry.

mod document;
mod text;
mod words;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    adapters::git::NoGit,
    cli::{PlanArguments, PlanFormat},
    error::Error,
    operations::{
        build::Run,
        dist::{JobImage, Packer},
        manifests::{self, Examined, ExpectedReferences, Manifests, Scope},
        publish::{self, Preview, PushPreview},
        resolution,
        workspace::{LockPolicy, Services, Session},
    },
    project::left_out::Folder,
    ui::Ui,
};

pub(super) fn run(session: &Session<'_>, ui: &Ui, arguments: &PlanArguments) -> Result<(), Error> {
    let chosen = arguments.images.registry.registry.as_deref();
    let registry = session.registry(chosen)?;
    let targets = session.targets(&arguments.images.images)?;
    let scope = Scope {
        registry: chosen,
        images: &targets,
    };
    let services = Services::new(session, LockPolicy::ReadOnly);
    let prepared = resolution::prepare(session, &services)?;
    let expected = ExpectedReferences::pinned(session, &prepared, scope)?;
    let manifests = Manifests::of(session, scope.registry)?;
    let examined = manifests.examine(&expected)?;
    manifests::warn(session, &prepared, scope, &examined);
    prepared.warn_of_left_out(session, &targets);
    let jobs = JobImage::of_plan(&prepared, &targets, &|_| false);
    let packer = Packer::new(session, &services);
    packer.check_imports(&jobs, false)?;
    packer.refuse_secrets(&prepared, &targets)?;
    let run = Run {
        session,
        services: &services,
        prepared: &prepared,
        registry,
    };
    let planner = Planner { ui, run: &run };
    let known = Known {
        registry: &registry.name,
        preview: publish::preview(&run, &targets, &manifests, arguments.remote)?,
        examined,
        untracked: resolution::untracked_inputs(session, &prepared, &targets),
        left_out: if ui.verbosity() < 2 {
            BTreeMap::new()
        } else {
            resolution::left_out(session, &prepared, &targets)?
        },
    };
    match arguments.format {
        PlanFormat::Text => text::print(&planner, &known),
        PlanFormat::Json => document::print(&planner, &known),
    }
}

/// The input of `sparkpack plan`.
struct Planner<'a> {
    ui: &'a Ui,
    run: &'a Run<'a>,
}

/// The content of a plan, before it becomes text or JSON.
struct Known<'a> {
    /// The name of the registry in the configuration.
    registry: &'a str,
    preview: Preview,
    examined: Vec<Arc<Examined>>,
    untracked: Result<Vec<String>, NoGit>,
    /// The paths that are no inputs, by image; filled only with `-vv`, which shows them.
    left_out: BTreeMap<String, Vec<Folder>>,
}

impl Known<'_> {
    /// Whether a build or a push would look at an image.
    fn has(&self, name: &str) -> bool {
        let is_pushed = |push: &BTreeMap<String, PushPreview>| push.contains_key(name);
        self.preview.build.contains_key(name) || self.preview.push.as_ref().is_some_and(is_pushed)
    }

    /// What a push would do for an image; `None` if the registry was not asked or a push would not look at the image.
    fn push(&self, name: &str) -> Option<&PushPreview> {
        self.preview.push.as_ref()?.get(name)
    }
}
