//! The registries, by a real request to each.

use std::{sync::Arc, time::SystemTime};

use super::finding::Finding;
use crate::{
    adapters::{
        credentials::{Credential, Credentials},
        registry::{RegistryClient, RegistryProbe, RegistrySettings},
    },
    code::Code,
    error::Error,
    image::Repository,
    project::{Project, Registry, template::Names},
};

/// What a registry answered, and as whom it was asked.
#[derive(Debug)]
pub(super) struct RegistryFacts {
    pub(super) probe: RegistryProbe,
    /// Whose credential there is; `None` without one.
    pub(super) user: Option<String>,
}

/// A registry of the configuration, and what came of asking it.
pub(super) struct AskedRegistry {
    /// Its name in the configuration.
    pub(super) name: String,
    /// The repository that was asked for; `None` for a folder, or where no image has one there.
    pub(super) repository: Option<Repository>,
    /// The folder that stands in its place.
    pub(super) folder: Option<String>,
    /// Where it is read instead.
    pub(super) mirror: Option<String>,
    pub(super) answer: RegistryAnswer,
}

/// What came of asking a registry.
pub(super) enum RegistryAnswer {
    /// It was not asked, because `--offline` forbids it or there is nothing to ask.
    NotAsked,
    /// It did not answer in time.
    Silent,
    Answered(Box<Result<RegistryFacts, Error>>),
}

/// Asks a registry; credentials are read and helpers run.
pub(super) fn ask(
    settings: RegistrySettings,
    repository: &Repository,
) -> Result<RegistryFacts, Error> {
    let credentials = Arc::new(Credentials::load()?);
    let client = RegistryClient::impatient(settings, Arc::clone(&credentials))?;
    let probe = client.probe(repository)?;
    let user = match credentials.of(repository)? {
        Credential::Anonymous => None,
        Credential::Basic { username, .. } => Some(username),
        Credential::IdentityToken(_) => Some("a token".to_owned()),
    };
    Ok(RegistryFacts { probe, user })
}

/// The repository of the first image that the project has in a registry: a job, if there is one.
pub(super) fn first_repository(project: &Project, registry: &Registry) -> Option<Repository> {
    let images = || project.images.values();
    let job = images().find(|image| image.package.is_some());
    let image = job.or_else(|| images().next())?;
    let names = Names {
        registry: &registry.prefix,
        project: &project.name,
        image: &image.name,
    };
    let reference = project.reference.unbuilt(names).ok()?;
    Some(reference.repository)
}

impl AskedRegistry {
    /// The time that it named.
    pub(super) fn date(&self) -> Option<SystemTime> {
        match &self.answer {
            RegistryAnswer::Answered(answer) => answer.as_ref().as_ref().ok()?.probe.date,
            RegistryAnswer::NotAsked | RegistryAnswer::Silent => None,
        }
    }

    pub(super) fn judge(self) -> Finding {
        let check = format!("registry {}", self.name);
        if let Some(folder) = self.folder {
            return Finding::good(&check, format!("the folder {folder}, which a push makes"));
        }
        let Some(repository) = self.repository else {
            return Finding::not_asked(&check, "no image has a repository there");
        };
        let host = &repository.registry;
        match self.answer {
            RegistryAnswer::NotAsked => {
                Finding::not_asked(&check, format!("{host}: --offline asks nobody"))
            }
            RegistryAnswer::Silent => Finding::bad(
                &check,
                Code::E501,
                format!("no answer in time from {host}, or from docker's credential helper for it"),
            )
            .run(format!("curl -v https://{host}/v2/")),
            RegistryAnswer::Answered(answer) => match *answer {
                Ok(facts) => of_facts(&check, &repository, self.mirror.as_deref(), facts),
                Err(Error::Registry(error)) => Finding::of_registry(&check, error),
                Err(error) => Finding::of_error(&check, &error),
            },
        }
    }
}

fn of_facts(
    check: &str,
    repository: &Repository,
    mirror: Option<&str>,
    facts: RegistryFacts,
) -> Finding {
    let RegistryFacts { probe, user } = facts;
    let is_there = match probe.repository {
        Ok(is_there) => is_there,
        // Some registries deny what is not there.
        Err(error) => return Finding::of_registry(check, error),
    };
    let host = &repository.registry;
    let plain = if probe.is_encrypted {
        ""
    } else {
        ", without TLS"
    };
    let read_at = mirror.map_or_else(String::new, |mirror| format!(", read by way of {mirror}"));
    let there = if is_there {
        format!("`{}` is there", repository.path)
    } else {
        format!("`{}` is not there before the first push", repository.path)
    };
    let head = format!("{host}{plain}{read_at}");
    match (probe.wants_sign_in, user) {
        (false, _) => Finding::good(check, format!("{head}: no sign-in is wanted; {there}")),
        (true, Some(user)) => Finding::good(
            check,
            format!(
                "{head}: signed in as `{user}`; {there}; only a push tells whether you may push"
            ),
        ),
        (true, None) => Finding::note(
            check,
            format!("{head}: it lets anybody read; {there}; to push, sign in"),
        )
        .run(format!("docker login {host}")),
    }
}

/// Whether tags are protected.
pub(super) fn of_immutability(registries: &[AskedRegistry]) -> Finding {
    const CHECK: &str = "immutable tags";
    let mut hosts: Vec<&str> = registries
        .iter()
        .filter_map(|registry| Some(registry.repository.as_ref()?.registry.as_str()))
        .collect();
    hosts.dedup();
    if hosts.is_empty() {
        return Finding::not_asked(CHECK, "there is no registry to protect them");
    }
    Finding::not_asked(
        CHECK,
        format!(
            "registries have no common request for it, so {} cannot be asked; sparkpack overwrites no tag itself",
            hosts.join(", ")
        ),
    )
}

impl From<Result<RegistryFacts, Error>> for RegistryAnswer {
    fn from(answer: Result<RegistryFacts, Error>) -> Self {
        Self::Answered(Box::new(answer))
    }
}
