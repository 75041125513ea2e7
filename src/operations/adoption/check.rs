//! Checks a proposal as a run would read it: by the project's own loader, and against the names in the manifests.

use super::{
    image_name::short, manifests::Manifest, proposal::Proposal, remark::Remark,
    survey::ProjectSurvey,
};
use crate::{
    adapters::store,
    code::Code,
    project::{
        self, Project,
        place::{Defect, Place},
    },
};

/// Has the loader read the text. Of the root images the first that fits Spark is taken.
pub(super) fn checked(survey: &ProjectSurvey, proposal: &mut Proposal) -> Result<String, Defect> {
    let mut first = None;
    let roots = proposal.roots();
    let tries = roots
        .iter()
        .copied()
        .map(Some)
        .chain(roots.is_empty().then_some(None));
    for root in tries {
        if let Some(root) = root {
            proposal.stand_on(root);
        }
        let text = proposal.text();
        match project::load_text(&survey.tree.root, &text, &store::environment) {
            Ok(project) => {
                proposal.tell_root();
                compare(survey, &project, proposal);
                return Ok(text);
            }
            Err(defect) => drop(first.get_or_insert(defect)),
        }
    }
    // There is at least one try.
    Err(first.unwrap_or_else(|| {
        let place = Place::of_line(project::FILE_NAME, 1);
        Defect::new(Code::E039, place, "no root image fits")
    }))
}

/// Tells each name in a manifest that would come out otherwise.
fn compare(survey: &ProjectSurvey, project: &Project, proposal: &mut Proposal) {
    let mut told = Vec::new();
    for (image, name) in survey.manifests.iter().flat_map(Manifest::names) {
        let called = proposal
            .naming
            .images
            .iter()
            .filter_map(|own| own.called.as_ref());
        let is_own = called
            .into_iter()
            .any(|(own, _)| super::naming::is_same_image(own, &name));
        let matcher = &project.image_matcher;
        if !is_own || matcher.named(&image.reference).is_some() {
            continue;
        }
        let text = match matcher.near_miss(&image.reference) {
            Some(near) => Remark::at(
                &image.place,
                format!(
                    "`{}` is not rewritten: its tag is none of sparkpack's",
                    short(&image.reference.to_string())
                ),
            )
            .cure(format!("put `# sparkpack: {near}` behind it")),
            None => Remark::at(
                &image.place,
                format!(
                    "`{}` is not what any image will be called",
                    short(&image.reference.to_string())
                ),
            )
            .cure("add its prefix to `formerly`, or change `reference`"),
        };
        told.push(text);
    }
    proposal.untold.extend(told);
}
