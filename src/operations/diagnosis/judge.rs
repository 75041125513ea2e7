//! All checks, in the order in which they are told.

use super::{
    builders, daemon,
    finding::{Diagnosis, Finding},
    gather::{self, CountedWarnings, DiagnosisRequest, GatheredFacts, OpenQuestions},
    machine, network,
    project::{self, ProjectNeeds},
    registry::{self, AskedRegistry},
    tools,
};
use crate::{
    adapters::{machine as this_machine, registry::proxy_variables, store},
    error::Error,
    operations::{
        resolution,
        workspace::{LockPolicy, Services, Session, read_lock},
    },
    project::{Project, Registry},
};

/// Looks at the project, at this machine, and at what both need outside. Nothing is changed.
///
/// # Errors
/// There is no registry of the name that was asked for.
pub(crate) fn diagnose(request: DiagnosisRequest<'_>) -> Result<Diagnosis, Error> {
    let warnings = CountedWarnings::default();
    let opened = Session::open(request.directory, &warnings);
    let session = opened.as_ref().ok();
    let registries: Vec<&Registry> = match (session, request.registry) {
        (Some(session), Some(name)) => vec![session.registry(Some(name))?],
        (Some(session), None) => session.project.registries.values().collect(),
        (None, _) => Vec::new(),
    };
    let asked = OpenQuestions::begin(
        session.map(|session| &session.project),
        &registries,
        request,
    );
    // While the others answer.
    let prepared = session
        .map(|session| resolution::prepare(session, &Services::new(session, LockPolicy::ReadOnly)));
    let needs = session.map(needs_of).unwrap_or_default();
    let untracked = match (session, &prepared) {
        (Some(session), Some(Ok(prepared))) => project::untracked(session, prepared),
        _ => Vec::new(),
    };
    let mut findings = vec![project::of_project(&opened, warnings.count())];
    findings.push(match &prepared {
        Some(prepared) => project::of_locks(prepared),
        None => project::without_project("locks", &opened),
    });
    let project = session.map(|session| &session.project);
    let answers = asked.wait();
    if project.is_none() {
        findings.push(project::without_project("registry", &opened));
    }
    findings.extend(of_outside(answers, project, &needs, &untracked));
    Ok(Diagnosis {
        findings: findings.into_iter().map(Finding::in_one_line).collect(),
    })
}

/// What is outside of the project.
fn of_outside(
    answers: GatheredFacts,
    project: Option<&Project>,
    needs: &ProjectNeeds,
    untracked: &[String],
) -> Vec<Finding> {
    let emulated = gather::emulated(needs);
    let mut findings = match project.and_then(|project| project.builders.as_ref()) {
        Some(of_project) => vec![
            builders::of_daemon(&answers.daemon)
                .unwrap_or_else(|| daemon::of_daemon(&answers.daemon, needs)),
            builders::of_builders(of_project, &answers.builders),
            builders::of_platforms(of_project, &answers.builders, needs),
        ],
        None => vec![
            daemon::of_daemon(&answers.daemon, needs),
            daemon::of_builder(&answers.daemon, needs),
            daemon::of_platforms(&answers.daemon, needs, &emulated),
        ],
    };
    let registries = answers.registries;
    let dates: Vec<_> = registries.iter().filter_map(AskedRegistry::date).collect();
    let certificates = gather::certificates(project, &registries);
    let immutability = registry::of_immutability(&registries);
    findings.extend(registries.into_iter().map(AskedRegistry::judge));
    let root = project.map(|project| project.root.as_path());
    let disks = gather::disks(daemon::about(&answers.daemon), root);
    let has_home = store::environment("HOME").is_some_and(|home| !home.is_empty());
    findings.extend([
        immutability,
        network::of_proxies(&proxy_variables(&store::environment)),
        network::of_certificates(&certificates),
        machine::of_disks(&disks, needs),
        machine::of_folders(&gather::folders(), has_home),
        tools::of_installer(answers.installer, needs),
        tools::of_git(&answers.git, untracked),
        tools::of_hook(&answers.git),
        machine::of_clock(this_machine::now(), &dates),
    ]);
    findings
}

/// What the project needs, as far as its files can be read.
fn needs_of(session: &Session<'_>) -> ProjectNeeds {
    let lock = read_lock(&session.project.root).unwrap_or_default();
    let inputs = resolution::read_inputs(session, &lock);
    ProjectNeeds::of(session, inputs.ok().as_ref())
}
