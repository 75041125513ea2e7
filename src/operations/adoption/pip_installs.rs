//! What the `RUN`s of a Dockerfile install with pip.

use super::{
    dockerfiles::FoundDockerfile,
    requirements::FoundRequirements,
    survey::ProjectSurvey,
    tree::{joined, name_of},
};

/// The line that installs PySpark, by its name or in a list; `folder` is the context.
pub(super) fn of_spark(
    survey: &ProjectSurvey,
    dockerfile: &FoundDockerfile,
    folder: &str,
) -> Option<usize> {
    let is_spark = |word: &str| {
        word == "pyspark"
            || ["pyspark==", "pyspark["]
                .iter()
                .any(|start| word.starts_with(start))
    };
    let mut named = lines(dockerfile);
    let named = named.find(|(_, words)| {
        let mut words = words.iter().map(|word| word.trim_matches(['"', '\'']));
        words.any(is_spark)
    });
    let in_list = || {
        let mut lists = lists(survey, dockerfile, folder).into_iter();
        lists.find(|(_, list)| {
            list.read
                .as_ref()
                .is_ok_and(|read| read.place_of("pyspark").is_some())
        })
    };
    let named = named.map(|(line, _)| line);
    named.or_else(|| in_list().map(|(line, _)| line))
}

/// The lists of requirements that are installed, each with the line.
pub(super) fn lists<'s>(
    survey: &'s ProjectSurvey,
    dockerfile: &FoundDockerfile,
    folder: &str,
) -> Vec<(usize, &'s FoundRequirements)> {
    let lists = lines(dockerfile).filter_map(|(line, words)| {
        let list = words
            .windows(2)
            .find(|pair| pair[0] == "-r")
            .map(|pair| name_of(pair[1]))?;
        let beside = survey.requirements.get(&joined(folder, list));
        Some((line, beside.or_else(|| survey.requirements.get(list))?))
    });
    lists.collect()
}

/// The words of each `RUN` that installs with pip.
fn lines(dockerfile: &FoundDockerfile) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let runs = dockerfile
        .instructions("RUN")
        .filter(|(_, text)| text.contains("pip install") || text.contains("pip3 install"));
    runs.map(|(line, text)| (line, text.split_whitespace().collect()))
}
