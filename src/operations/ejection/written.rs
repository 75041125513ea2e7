//! The Dockerfile that makes what sparkpack makes of an image without one, with the files that it needs.

use crate::{
    operations::workspace::Session,
    plan::{Recipe, StageInputs},
    project::{
        Image, Package,
        built_in::BuiltInRecipe,
        inputs::{DockerfileInputs, FilesInputs},
    },
};

/// The name of the Dockerfile.
pub(super) const DOCKERFILE: &str = "Dockerfile";

/// The name of the requirements of a built-in recipe.
pub(super) const REQUIREMENTS: &str = "requirements.txt";

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

/// The files that stand for an image's recipe; `None` where it has a Dockerfile of its own.
pub(super) fn written(
    session: &Session<'_>,
    image: &Image,
    inputs: &StageInputs,
) -> Option<Vec<WrittenFile>> {
    match &inputs.recipe {
        Recipe::Dockerfile(dockerfile) => of_built_in(dockerfile),
        Recipe::Files(files) => {
            let is_made = session
                .project
                .chain_of(image)
                .is_some_and(|chain| chain.made().is_some());
            let text = match &image.package {
                Some(package) => of_job(package, files, is_made),
                None => of_packages(files, is_made),
            };
            let requirements = files.built_in.and_then(requirements_of);
            let requirements = requirements.map(|text| WrittenFile::plain(REQUIREMENTS, text));
            let dockerfile = WrittenFile::plain(DOCKERFILE, text);
            Some(
                [Some(dockerfile), requirements]
                    .into_iter()
                    .flatten()
                    .collect(),
            )
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

/// What ds gets: its packages and the chain's jars.
fn of_packages(inputs: &FilesInputs, is_made: bool) -> String {
    let mut text = String::from(
        "# What sparkpack puts together without a Dockerfile, written out: packages, installed outside from the requirements.\n\
         ARG PARENT\nFROM ${PARENT}\nCOPY site-packages/ /opt/ds/site-packages/\n",
    );
    text.push_str(jars(inputs, is_made));
    if !is_made {
        text.push_str(&python_path(inputs));
    }
    text.push_str(&surroundings(is_made, false));
    text
}

/// What a job gets: what changes least first, so that a changed line sends a few kB.
fn of_job(package: &Package, inputs: &FilesInputs, is_made: bool) -> String {
    let mut text = String::from(
        "# What sparkpack puts together without a Dockerfile, written out: what changes least first, so that a changed line\n\
         # sends a few kB. `dist/` is what `sparkpack package` makes.\n\
         ARG PARENT\nFROM ${PARENT}\nCOPY dist/libs.zip /opt/job/\nCOPY dist/site-packages/ /opt/job/site-packages/\n",
    );
    text.push_str(jars(inputs, is_made));
    if inputs.python_path.contains(&"/opt/job/jobs") {
        text.push_str("COPY dist/jobs/ /opt/job/jobs/\n");
    }
    for path in package.beside.keys() {
        let folder = path
            .rsplit_once('/')
            .map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let (from, to) = (format!("dist/{path}"), format!("/opt/job/{folder}"));
        // The form of a list takes any name.
        let paths = serde_json::json!([from, to]);
        text.push_str("COPY ");
        text.push_str(&paths.to_string());
        text.push('\n');
    }
    text.push_str("COPY dist/jobs.zip dist/main.py /opt/job/\n");
    text.push_str(&python_path(inputs));
    text.push_str(&surroundings(is_made, true));
    text
}

/// An image from elsewhere says itself where its Spark is.
fn jars(inputs: &FilesInputs, is_made: bool) -> &'static str {
    match (inputs.jars.is_empty(), is_made) {
        (true, _) => "",
        (false, true) => "COPY jars/ /opt/spark/jars/\n",
        (false, false) => "COPY jars/ ${SPARK_HOME}/jars/\n",
    }
}

fn python_path(inputs: &FilesInputs) -> String {
    format!(
        "ENV PYTHONPATH={}${{PYTHONPATH:+:${{PYTHONPATH}}}}\n",
        inputs.python_path.join(":")
    )
}

/// The user and the working folder of images that are made here; an image from elsewhere keeps its own.
fn surroundings(is_made: bool, is_job: bool) -> String {
    match (is_made, is_job) {
        (true, true) => "WORKDIR /opt/spark/work-dir\nUSER 185\n".to_owned(),
        (true, false) => "USER 185\n".to_owned(),
        (false, _) => String::new(),
    }
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
