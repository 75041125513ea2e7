//! `sparkpack check`: checks whether the manifests name the images of this checkout. Changes nothing.

use std::sync::Arc;

use super::verify::verify;
use crate::{
    error::Error,
    operations::{
        manifests::{self, Drift, Examined, Scope, Survey},
        resolution::Strictness,
        workspace::{Services, Session},
    },
};

/// What to check.
#[derive(Clone, Copy)]
pub(crate) struct CheckRequest<'a> {
    pub(crate) scope: Scope<'a>,
    /// Whether inputs that git's index does not have are refused.
    pub(crate) strictness: Strictness,
    /// Whether to check that the registries have the images.
    pub(crate) is_remote: bool,
    /// Whether to list the places that are left alone too.
    pub(crate) is_full: bool,
}

/// The result of a check.
pub(crate) struct Checked {
    pub(crate) examined: Vec<Arc<Examined>>,
    pub(crate) drift: Vec<Drift>,
}

impl Checked {
    /// An error if there is drift.
    pub(crate) fn result(&self) -> Result<(), Error> {
        let fixable = self.drift.iter().filter(|drift| drift.is_fixable).count();
        match self.drift.len() {
            0 => Ok(()),
            places => Err(Error::Drift { places, fixable }),
        }
    }
}

/// Examines the manifests, and warns of oddities in them.
///
/// # Errors
/// Whatever prevents the check. Drift is a result, not an error.
pub(crate) fn check(
    session: &Session<'_>,
    services: &Services<'_>,
    request: CheckRequest<'_>,
) -> Result<Checked, Error> {
    let scope = request.scope;
    let Survey {
        manifests,
        prepared,
        examined,
    } = manifests::survey(session, services, scope, request.is_full)?;
    manifests::warn(session, &prepared, scope, &examined);
    request.strictness.check(session, &prepared, scope.images)?;
    let mut drift = Drift::of_all(&examined);
    if request.is_remote {
        let gone = verify(session, services, &prepared, scope, &manifests)?;
        for defect in &gone {
            session.events.warn(defect);
        }
        drift.extend(gone.iter().map(Drift::of_defect));
    }
    Ok(Checked { examined, drift })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapters::git::Compared,
        code::Code,
        operations::{
            testing::{Project, Recorder, pods},
            workspace::LockPolicy,
        },
    };

    /// A project with a manifest that names these images.
    fn project(images: &[&str]) -> Project {
        Project::with_manifests(&[("a.yml", &pods(images))])
    }

    /// The current reference of an image.
    fn current(image: &str) -> String {
        Project::small().planned(|session, prepared| {
            let registry = session.registry(None).unwrap();
            let reference = prepared.plan.stages[image].reference(registry);
            reference.to_string()
        })
    }

    fn checked(
        project: &Project,
        strictness: Strictness,
        is_remote: bool,
    ) -> (Result<Checked, Error>, Vec<String>) {
        let events = Recorder::default();
        let session = project.session(&events);
        let policy = if is_remote {
            LockPolicy::Offline
        } else {
            LockPolicy::ReadOnly
        };
        let services = Services::new(&session, policy);
        let images = session.targets(&[]).unwrap();
        let scope = Scope {
            registry: None,
            images: &images,
        };
        let request = CheckRequest {
            scope,
            strictness,
            is_remote,
            is_full: false,
        };
        (check(&session, &services, request), events.told())
    }

    #[test]
    fn manifests_that_name_this_checkout_have_no_drift() {
        let project = project(&[&current("base"), &current("job")]);
        let (checked, told) = checked(&project, Strictness::OFF, false);
        let checked = checked.unwrap();
        assert!(checked.drift.is_empty());
        checked.result().unwrap();
        assert_eq!(checked.examined.len(), 1);
        assert_eq!(told, [""; 0]);
    }

    #[test]
    fn drift_is_told_in_the_order_of_the_text_and_says_whether_pin_mends_it() {
        let old = "registry.example/small/job:0123456789abcdef";
        let project = project(&[&current("base"), old]);
        let stale = format!("{}  note: {old}\n", project.read("a.yml"));
        project.write("a.yml", &stale);
        let (checked, _) = checked(&project, Strictness::OFF, false);
        let checked = checked.unwrap();
        let drift: Vec<_> = checked
            .drift
            .iter()
            .map(|drift| (drift.code, drift.place.line, drift.is_fixable))
            .collect();
        assert_eq!(drift, [(Code::E100, 13, true), (Code::W105, 14, false)]);
        let drift = &checked.drift[0];
        let wanted = format!(
            "spec.containers[0].image is `{old}`, and has to be `{}`",
            current("job")
        );
        assert_eq!(drift.message, wanted);
        let error = checked.result().unwrap_err();
        let counts = matches!(
            error,
            Error::Drift {
                places: 2,
                fixable: 1
            }
        );
        assert!(counts, "{error:?}");
        assert_eq!(project.read("a.yml"), stale);
    }

    #[test]
    fn manifests_that_name_no_image_of_the_project_are_refused() {
        let (checked, _) = checked(&project(&["other.example/x:1"]), Strictness::OFF, false);
        assert_eq!(checked.err().unwrap().code(), Code::E205);
    }

    #[test]
    fn a_manifest_that_is_not_yaml_is_an_error() {
        let project = project(&[]);
        project.write("a.yml", "kind: [\n");
        let (checked, _) = checked(&project, Strictness::OFF, false);
        assert!(matches!(checked, Err(Error::Defect(_))));
    }

    #[test]
    fn who_is_strict_needs_git() {
        let project = project(&[&current("job")]);
        let (checked, _) = checked(&project, Strictness::of(Some(true), Compared::Index), false);
        assert_eq!(checked.err().unwrap().code(), Code::E097);
    }

    #[test]
    fn a_registry_that_may_not_be_asked_is_an_error() {
        let project = project(&[&current("job")]);
        let (checked, _) = checked(&project, Strictness::OFF, true);
        assert_eq!(checked.err().unwrap().code(), Code::E035);
    }
}
