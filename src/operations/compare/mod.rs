//! Explains why images differ: this checkout's image from the one in use, or any two images.

mod diff;
mod why;

pub(crate) use diff::{DifferentPlatform, diff};
pub(crate) use why::{
    Against, Compared, ComparedPlatform, Difference, NamedBy, Why, WhyAnswer, why,
};

#[cfg(test)]
mod tests {
    use crate::operations::{provenance::keep_records, testing::Project};

    /// Keeps the records of a project in its present state, and returns the tag of `image`.
    pub(super) fn kept_records(project: &Project, image: &str) -> String {
        project.planned(|session, prepared| {
            keep_records(session, &prepared, &["job".to_owned()]).unwrap();
            prepared.plan.stages[image].tag().to_owned()
        })
    }
}
