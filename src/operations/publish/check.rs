//! `sparkpack check`: checks whether the manifests name the images of this checkout. Changes nothing.

use std::sync::Arc;

use super::verify::verify;
use crate::{
    error::Error,
    operations::{
        dist::{JobImage, Packer},
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
    /// The errors of the manifests that are no YAML. They are part of the drift.
    unreadable: Vec<Error>,
}

impl Checked {
    /// An error if a manifest could not be read, or if there is drift.
    pub(crate) fn result(self) -> Result<(), Error> {
        if !self.unreadable.is_empty() {
            return Err(Error::of_all(self.unreadable));
        }
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
    let survey = manifests::survey(session, services, scope, request.is_full)?;
    survey.warn(session, scope);
    survey.say_left_out(session);
    let Survey {
        manifests,
        prepared,
        examined,
        unreadable,
    } = survey;
    let jobs = JobImage::of_plan(&prepared, scope.images, &|_| false);
    let packer = Packer::new(session, services);
    packer.check_imports(&jobs, request.strictness.refuses())?;
    packer.refuse_secrets(&prepared, scope.images)?;
    request.strictness.check(session, &prepared, scope.images)?;
    let mut drift = Drift::of_all(&examined);
    if request.is_remote {
        let gone = verify(session, services, &prepared, scope, &manifests)?;
        for defect in &gone {
            session.events.warn(defect);
        }
        drift.extend(gone.iter().map(Drift::of_defect));
    }
    drift.extend(unreadable.iter().map(Drift::of_error));
    Ok(Checked {
        examined,
        drift,
        unreadable,
    })
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
        assert_eq!(checked.examined.len(), 1);
        checked.result().unwrap();
        assert_eq!(told, [""; 0]);
    }

    #[test]
    fn a_manifest_that_is_no_yaml_is_left_out_and_the_others_are_checked() {
        let old = "registry.example/small/job:0123456789abcdef";
        let project = Project::with_manifests(&[
            ("a.yml", "a: [b\n"),
            ("b.yml", &pods(&[old])),
            ("c.yml", "a: \"b\n"),
        ]);
        let (checked, told) = checked(&project, Strictness::OFF, false);
        let checked = checked.unwrap();
        let lines: Vec<String> = checked
            .drift
            .iter()
            .map(|drift| format!("{} {}", drift.code, drift.place.file.display()))
            .collect();
        assert_eq!(lines, ["E100 b.yml", "E060 a.yml", "E060 c.yml"]);
        assert_eq!(told, ["left out 2 of 3"]);
        let error = checked.result().unwrap_err();
        assert_eq!((error.code().exit_code(), error.each().len()), (2, 2));
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
