//! The commands that cure what errors of the outside tell.

use super::finding::Finding;
use crate::{
    adapters::{
        docker::{DockerError, Unreachable},
        git::NoGit,
        registry::{FailureKind, RegistryError},
    },
    error::Error,
};

impl Finding {
    /// [`Self::of_error`], with a command instead of the hint where one cures it.
    pub(super) fn of_registry(check: &str, error: RegistryError) -> Self {
        let command = login(&error);
        Self::of_error(check, &Error::from(error)).run_if(command)
    }

    /// The same with a command, if there is one.
    pub(super) fn run_if(self, command: Option<String>) -> Self {
        match command {
            Some(command) => self.run(command),
            None => self,
        }
    }
}

/// The command after which a registry answers.
fn login(error: &RegistryError) -> Option<String> {
    match error {
        RegistryError::NotSignedIn { registry, .. }
        | RegistryError::WrongPassword { registry, .. } => Some(match registry.as_str() {
            "docker.io" => "docker login".to_owned(),
            registry => format!("docker login {registry}"),
        }),
        RegistryError::Unreachable {
            kind: FailureKind::CertificateDates,
            ..
        } => Some("date".to_owned()),
        _ => None,
    }
}

/// The command after which the daemon answers.
pub(super) fn start(error: &DockerError) -> Option<String> {
    let DockerError::Unreachable {
        reason, named_by, ..
    } = error
    else {
        return None;
    };
    match reason {
        Unreachable::NoSocket { other: Some(other) } => {
            Some(format!("export DOCKER_HOST=unix://{}", other.display()))
        }
        Unreachable::NoSocket { other: None } | Unreachable::Refused if named_by.is_none() => {
            Some("systemctl start docker".to_owned())
        }
        Unreachable::Denied => Some("sudo usermod -aG docker $USER".to_owned()),
        Unreachable::NoContext(_) => Some("docker context ls".to_owned()),
        Unreachable::Silent => Some("systemctl restart docker".to_owned()),
        Unreachable::Lost(_) => Some("docker version".to_owned()),
        _ => None,
    }
}

/// The command after which git answers.
pub(super) fn trust(error: &NoGit) -> String {
    match error {
        NoGit::NotInstalled => "sudo apt-get install git".to_owned(),
        NoGit::NoWorkTree => "git init".to_owned(),
        NoGit::DubiousOwnership { folder } => format!(
            "git config --global --add safe.directory {}",
            folder.display()
        ),
        NoGit::Failed(_) => "git status".to_owned(),
    }
}
