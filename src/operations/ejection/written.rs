//! The Dockerfile that makes what sparkpack makes of an image without one, with the files that it needs.

use std::collections::BTreeSet;

use crate::{
    operations::resolution,
    plan::{Recipe, StageInputs},
    project::{
        Image, Package,
        built_in::BuiltInRecipe,
        elsewhere::LockedSpark,
        inputs::{DockerfileInputs, FilesInputs},
        lock::{Lock, LockedWheels},
        requirements,
    },
};

/// The name of the Dockerfile.
pub(super) const DOCKERFILE: &str = "Dockerfile";

/// The name of the requirements of a built-in recipe.
pub(super) const REQUIREMENTS: &str = "requirements.txt";

/// The name of the lock beside them.
pub(super) const LOCK: &str = "requirements.lock";

/// The instruction of built-in Dockerfiles that copies the chain's jars.
const COPY_JARS: &str = "COPY jars/ ";

/// A file that is written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WrittenFile {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) is_executable: bool,
}

impl WrittenFile {
    fn plain(name: &'static str, text: impl Into<String>) -> Self {
        Self {
            name,
            text: text.into(),
            is_executable: false,
        }
    }
}

/// What an image that only gets files stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StandsOn<'a> {
    /// An image of a chain whose base is made here.
    Made,
    /// An image from elsewhere, with this Spark.
    Elsewhere(&'a LockedSpark),
    /// An image of the project that stands on one from elsewhere, with this Spark.
    AboveElsewhere(&'a LockedSpark),
}

/// The files that stand for an image's recipe; `None` where it has a Dockerfile of its own.
pub(super) fn written(
    image: &Image,
    inputs: &StageInputs,
    below: StandsOn<'_>,
) -> Option<Vec<WrittenFile>> {
    match &inputs.recipe {
        Recipe::Dockerfile(dockerfile) => of_built_in(dockerfile),
        Recipe::Files(files) => {
            let text = match &image.package {
                Some(package) => of_job(package, files, below),
                None => of_packages(files, below),
            };
            let requirements = files.built_in.and_then(requirements_of);
            let requirements = requirements.map(|text| WrittenFile::plain(REQUIREMENTS, text));
            let dockerfile = WrittenFile::plain(DOCKERFILE, text);
            let both = [Some(dockerfile), requirements];
            Some(both.into_iter().flatten().collect())
        }
    }
}

/// A built-in Dockerfile with the files beside it. Without jars there is nothing to copy.
fn of_built_in(inputs: &DockerfileInputs) -> Option<Vec<WrittenFile>> {
    let built_in = inputs.built_in?;
    let has_jars = !inputs.context_sources.is_empty();
    let lines = built_in.dockerfile?.split_inclusive('\n');
    let text: String = lines
        .filter(|line| has_jars || !line.starts_with(COPY_JARS))
        .collect();
    let beside = built_in.files.iter().map(|file| WrittenFile {
        name: file.path,
        text: file.text.to_owned(),
        is_executable: file.executable,
    });
    let dockerfile = WrittenFile::plain(DOCKERFILE, text);
    Some([dockerfile].into_iter().chain(beside).collect())
}

/// The requirements of a recipe, with comments that tell which of them nobody asked for, so that a job may replace them.
fn requirements_of(built_in: &BuiltInRecipe) -> Option<String> {
    let mut text = String::new();
    let mut is_along = false;
    for line in built_in.requirements?.lines() {
        if let Some((name, _)) = line.split_once("==").filter(|_| !line.starts_with(' ')) {
            is_along = !built_in.asked.contains(&name);
        }
        text.push_str(line);
        text.push('\n');
        // The last line of a package is not continued.
        if is_along && !line.ends_with('\\') {
            text.push_str("    # via ");
            text.push_str(&built_in.asked.join(", "));
            text.push('\n');
        }
    }
    Some(text)
}

/// The lock beside the requirements of a recipe, with the wheels that `sparkpack.lock` has for them: they mean the same.
/// `None` where it has none.
pub(super) fn lock_of(lock: &Lock, image: &str) -> Option<WrittenFile> {
    let platforms = lock.wheels.get(image)?;
    let (_, first) = platforms.first_key_value()?;
    let numbers = |text: &str| {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let of_first = |other: &LockedWheels| {
        (&other.requirements, &other.python, &other.glibc)
            == (&first.requirements, &first.python, &first.glibc)
    };
    let wheels = platforms.iter().map(|(platform, locked)| {
        let wheels = resolution::wheels_of(locked).filter(|_| of_first(locked))?;
        Some((platform.clone(), wheels))
    });
    let beside = requirements::Lock {
        requirements_digest: first.requirements.clone(),
        python: numbers(&first.python)?,
        glibc: numbers(&first.glibc)?,
        wheels: wheels.collect::<Option<_>>()?,
        left_out: BTreeSet::new(),
    };
    Some(WrittenFile::plain(LOCK, beside.to_text()))
}

/// What ds gets: its packages and the chain's jars.
fn of_packages(inputs: &FilesInputs, below: StandsOn<'_>) -> String {
    let mut text = String::from(
        "# What sparkpack puts together without a Dockerfile, written out: packages, installed outside from the requirements.\n\
         ARG PARENT\nFROM ${PARENT}\nCOPY site-packages/ /opt/ds/site-packages/\n",
    );
    text.push_str(&jars(inputs, below));
    if below == StandsOn::Made {
        text.push_str("USER 185\n");
    } else {
        text.push_str(&python_path(inputs, below));
    }
    text
}

/// What a job gets: what changes least first, so that a changed line sends a few kB.
fn of_job(package: &Package, inputs: &FilesInputs, below: StandsOn<'_>) -> String {
    let mut text = String::from(
        "# What sparkpack puts together without a Dockerfile, written out: what changes least first, so that a changed line\n\
         # sends a few kB. `dist/` is what `sparkpack package` makes.\n\
         ARG PARENT\nFROM ${PARENT}\nCOPY dist/libs.zip /opt/job/\nCOPY dist/site-packages/ /opt/job/site-packages/\n",
    );
    text.push_str(&jars(inputs, below));
    if inputs.python_path.contains(&"/opt/job/jobs") {
        text.push_str("COPY dist/jobs/ /opt/job/jobs/\n");
    }
    for path in package.beside.keys() {
        let folder = path.rsplit_once('/');
        let folder = folder.map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let (from, to) = (format!("dist/{path}"), format!("/opt/job/{folder}"));
        // The form of a list takes any name.
        let paths = serde_json::json!([from, to]);
        text.push_str("COPY ");
        text.push_str(&paths.to_string());
        text.push('\n');
    }
    text.push_str("COPY dist/jobs.zip dist/main.py /opt/job/\n");
    text.push_str(&python_path(inputs, below));
    // An image from elsewhere keeps its own.
    if below == StandsOn::Made {
        text.push_str("WORKDIR /opt/spark/work-dir\nUSER 185\n");
    }
    text
}

fn jars(inputs: &FilesInputs, below: StandsOn<'_>) -> String {
    let folder = match below {
        StandsOn::Made => "/opt/spark/jars",
        StandsOn::Elsewhere(spark) | StandsOn::AboveElsewhere(spark) => &spark.jars,
    };
    if inputs.jars.is_empty() {
        String::new()
    } else {
        format!("COPY jars/ {folder}/\n")
    }
}

/// One's own, then the parent's, then those of a Spark that an image from elsewhere may not name itself.
fn python_path(inputs: &FilesInputs, below: StandsOn<'_>) -> String {
    let sparks = match below {
        StandsOn::Elsewhere(spark) if !spark.python_path.is_empty() => {
            format!(":{}", spark.python_path.join(":"))
        }
        _ => String::new(),
    };
    format!(
        "ENV PYTHONPATH={}${{PYTHONPATH:+:${{PYTHONPATH}}}}{sparks}\n",
        inputs.python_path.join(":")
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::project::{built_in, requirements::Requirements};

    #[test]
    fn what_came_along_is_told_so_that_a_job_may_replace_it() {
        let recipe = built_in::newest("ds").unwrap();
        let text = requirements_of(recipe).unwrap();
        let written = Requirements::of_text(Path::new(REQUIREMENTS), &text).unwrap();
        let names = written.names().map(|(name, _)| name.to_owned());
        let along = names.filter(|name| !recipe.asked.contains(&name.as_str()));
        let along: std::collections::BTreeSet<String> = along.collect();
        assert!(along.contains("six") && along.len() > 2, "{along:?}");
        assert_eq!(written.along, along);
        let without: String = text
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("    # via "))
            .collect();
        assert_eq!(Some(without.as_str()), recipe.requirements);
    }
}
