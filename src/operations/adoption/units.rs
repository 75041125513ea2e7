//! The images that Dockerfiles of the project make, and which of them stand on which.

use std::collections::BTreeSet;

use super::{
    build_line::BuildLine,
    dockerfiles::{FoundDockerfile, ResolvedDockerfile},
    image_name::ImageName,
    pip_installs,
    remark::Remark,
    survey::ProjectSurvey,
    tree::{folder_of, is_aside, joined, name_of},
    variables::UNKNOWN,
};

/// Where a build takes its files from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UnitContext {
    /// A folder of the project.
    Folder(String),
    /// A folder beside the project.
    Outside(String),
    /// What `sparkpack package` makes.
    Package,
}

/// An image that a Dockerfile of the project makes.
pub(super) struct Unit<'s> {
    pub(super) dockerfile: &'s FoundDockerfile,
    pub(super) build: Option<&'s BuildLine>,
    pub(super) resolved: ResolvedDockerfile,
    pub(super) context: UnitContext,
    /// What it is called without a registry: by its folder or its file.
    pub(super) stem: String,
    /// The names that it is given.
    pub(super) names: Vec<ImageName>,
    /// The index of the image that it stands on.
    pub(super) parent: Option<usize>,
}

/// The images that Dockerfiles make, and what is to be said of the other Dockerfiles.
pub(super) struct Units<'s> {
    pub(super) all: Vec<Unit<'s>>,
    pub(super) untold: Vec<Remark>,
}

impl<'s> Units<'s> {
    pub(super) fn of(survey: &'s ProjectSurvey) -> Self {
        let mut units = Self {
            all: Vec::new(),
            untold: Vec::new(),
        };
        for found in &survey.dockerfiles.found {
            let builds = survey.commands.builds.iter();
            let is_of = |build: &&BuildLine| build.dockerfile.as_deref() == Some(&found.path);
            let mut own: Vec<&BuildLine> = builds.filter(is_of).collect();
            // The same image may be built in several places: of each target only the best is wanted.
            own.sort_by_key(|build| {
                let is_named = build.names.iter().any(|name| name.repository.is_some());
                (build.target.clone(), !is_named, build.context.is_none())
            });
            own.dedup_by(|second, first| second.target == first.target);
            if own.is_empty() {
                units.add(survey, found, None);
            }
            for build in own {
                units.add(survey, found, Some(build));
            }
        }
        units.add_names_of_builds(survey);
        units.find_parents();
        units.keep_those_of_spark(survey);
        units
    }

    fn add(
        &mut self,
        survey: &'s ProjectSurvey,
        found: &'s FoundDockerfile,
        build: Option<&'s BuildLine>,
    ) {
        let resolved = match found.resolved(build, &survey.commands.variables) {
            Ok(resolved) => resolved,
            Err(defects) => {
                let defect = defects.into_iter().next();
                let remark = defect.map(|defect| {
                    let text = format!("this Dockerfile is left out: {}", defect.message);
                    let cure = defect.hint.clone().unwrap_or_default();
                    Remark::at(&defect.place, text).cure(cure)
                });
                self.untold.extend(remark);
                return;
            }
        };
        let context = context(survey, found, build, &resolved);
        self.all.push(Unit {
            dockerfile: found,
            build,
            context,
            stem: stem(&found.path, build),
            names: build.map(|build| build.names.clone()).unwrap_or_default(),
            parent: None,
            resolved,
        });
    }

    /// Further builds of the same Dockerfile give an image further names.
    fn add_names_of_builds(&mut self, survey: &'s ProjectSurvey) {
        for build in &survey.commands.builds {
            for unit in &mut self.all {
                if build.dockerfile.as_deref() == Some(&unit.dockerfile.path)
                    && build.target == unit.build.and_then(|of| of.target.clone())
                {
                    let new = build.names.iter().filter(|name| !unit.names.contains(name));
                    let new: Vec<ImageName> = new.cloned().collect();
                    unit.names.extend(new);
                }
            }
        }
    }

    fn find_parents(&mut self) {
        for index in 0..self.all.len() {
            let Some(base) = self.all[index].resolved.base_name() else {
                self.all[index].parent = self.usual_parent(index);
                continue;
            };
            let is_parent = |(other, unit): (usize, &Unit<'_>)| {
                let is_named = unit.names.iter().any(|name| {
                    let heads = (name.tag_head(), base.tag_head());
                    let same_head = heads.0 == heads.1 || !matches!(heads, (Some(_), Some(_)));
                    name.may_be(&base) && same_head
                });
                let is_called = unit.names.is_empty()
                    && !base.is_public()
                    && (base.last == unit.stem || base.tag_head() == Some(&unit.stem));
                (other != index && (is_named || is_called)).then_some(other)
            };
            self.all[index].parent = self.all.iter().enumerate().find_map(is_parent);
        }
        self.break_circles();
    }

    /// Where a FROM is only known in a run: the image that usually comes before one of this name.
    fn usual_parent(&self, index: usize) -> Option<usize> {
        const ORDER: [&str; 4] = ["base", "py", "ds", "job"];
        let own = &self.all[index];
        let is_unknown = own
            .resolved
            .base
            .as_ref()
            .is_some_and(|(base, _)| base.contains(UNKNOWN));
        let at = ORDER
            .iter()
            .position(|name| own.stem == *name)
            .unwrap_or(ORDER.len());
        let mut before = ORDER[..at].iter().rev().filter(|_| is_unknown);
        before.find_map(|name| self.all.iter().position(|unit| unit.stem == *name))
    }

    /// An image never stands on itself, whatever names its Dockerfiles share.
    fn break_circles(&mut self) {
        for index in 0..self.all.len() {
            let mut at = self.all[index].parent;
            for _ in 0..self.all.len() {
                if at == Some(index) {
                    self.all[index].parent = None;
                }
                at = at.and_then(|at| self.all[at].parent);
            }
        }
    }

    /// Leaves out what has nothing to do with Spark: the image of a web server, of Airflow, of a notebook.
    fn keep_those_of_spark(&mut self, survey: &ProjectSurvey) {
        let leading = survey.modules.leading_to_spark();
        let is_spark = |unit: &Unit<'_>| {
            let base = unit.resolved.base_name();
            let is_other = base.as_ref().is_some_and(|base| {
                [
                    "airflow",
                    "jupyter",
                    "pyspark-notebook",
                    "all-spark-notebook",
                ]
                .iter()
                .any(|word| {
                    base.last.contains(word)
                        || base.prefix().is_some_and(|prefix| prefix.contains(word))
                })
            });
            let is_named = survey.manifests.iter().any(|manifest| {
                let mut names = manifest.names().filter(|(image, _)| image.is_spark);
                names.any(|(_, name)| unit.names.iter().any(|own| own.may_be(&name)))
            });
            let is_spark = unit.dockerfile.names_spark()
                || unit.resolved.copies_dist()
                || pip_installs::of_spark(survey, unit.dockerfile, unit.folder()).is_some()
                || unit.copies_any(&leading);
            is_named || !is_other && is_spark && !is_aside(&unit.dockerfile.path)
        };
        let mut kept: Vec<bool> = self.all.iter().map(is_spark).collect();
        for _ in 0..self.all.len() {
            for index in 0..self.all.len() {
                if let Some(parent) = self.all[index].parent {
                    kept[index] |= kept[parent];
                    kept[parent] |= kept[index];
                }
            }
        }
        for (unit, _) in self.all.iter().zip(&kept).filter(|(_, is_kept)| !**is_kept) {
            let text = "nothing in this Dockerfile is of Spark, so that it is left out";
            self.untold.push(Remark::at(&unit.dockerfile.at(1), text));
        }
        let mut new = Vec::new();
        let moved: Vec<Option<usize>> = kept
            .iter()
            .scan(0, |next, is_kept| {
                let at = is_kept.then_some(*next);
                *next += usize::from(*is_kept);
                Some(at)
            })
            .collect();
        for (mut unit, is_kept) in std::mem::take(&mut self.all).into_iter().zip(kept) {
            if is_kept {
                unit.parent = unit.parent.and_then(|parent| moved[parent]);
                new.push(unit);
            }
        }
        self.all = new;
    }
}

impl Unit<'_> {
    /// The folder of the project that its files are copied from.
    pub(super) fn folder(&self) -> &str {
        match &self.context {
            UnitContext::Folder(folder) => folder,
            UnitContext::Outside(_) | UnitContext::Package => ".",
        }
    }

    /// Whether it copies any of these files, or a folder with one, by a name: what copies everything says nothing.
    fn copies_any(&self, files: &BTreeSet<&str>) -> bool {
        let mut sources = self.resolved.sources().filter(|(path, _)| *path != ".");
        sources.any(|(path, _)| {
            let path = joined(self.folder(), path);
            let below = format!("{path}/");
            files.contains(path.as_str())
                || files
                    .range(below.as_str()..)
                    .next()
                    .is_some_and(|file| file.starts_with(&below))
        })
    }
}

/// The context of a build; without a build that is known, the one in which all that is copied is there.
fn context(
    survey: &ProjectSurvey,
    found: &FoundDockerfile,
    build: Option<&BuildLine>,
    resolved: &ResolvedDockerfile,
) -> UnitContext {
    let known = build.and_then(|build| build.context.as_deref());
    if let Some(context) = known {
        if context == "dist" || context.ends_with("/dist") {
            return UnitContext::Package;
        }
        if context.starts_with("..") || context.starts_with('/') {
            return UnitContext::Outside(context.to_owned());
        }
        if survey.tree.has_folder(context) {
            return UnitContext::Folder(context.to_owned());
        }
    }
    let own = folder_of(&found.path);
    let is_there = |folder: &str| {
        resolved.sources().all(|(path, _)| {
            let path = joined(folder, path);
            path.starts_with("dist") || survey.tree.has(&path) || survey.tree.has_folder(&path)
        })
    };
    let above = own.match_indices('/').map(|(at, _)| &own[..at]);
    let mut folders = std::iter::once(".").chain(above).chain([own]);
    let found = folders.find(|folder| is_there(folder));
    UnitContext::Folder(found.unwrap_or(".").to_owned())
}

/// `base` of `docker/base/Dockerfile`, `job` of `Dockerfile.job` and `job.Dockerfile`.
fn stem(path: &str, build: Option<&BuildLine>) -> String {
    if let Some(target) = build.and_then(|build| build.target.as_ref()) {
        return target.to_ascii_lowercase();
    }
    let name = name_of(path).to_ascii_lowercase();
    let parts = [
        name.strip_prefix("dockerfile.")
            .or_else(|| name.strip_prefix("dockerfile-")),
        name.strip_suffix(".dockerfile"),
    ];
    if let Some(part) = parts.into_iter().flatten().next() {
        return part.to_owned();
    }
    let mut folder = folder_of(path);
    while ["docker", "build", "image", "container", ".docker"].contains(&name_of(folder)) {
        folder = folder_of(folder);
    }
    match folder {
        "." => String::new(),
        folder => name_of(folder).to_ascii_lowercase(),
    }
}
