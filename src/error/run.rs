//! Why `sparkpack run` cannot run what it was asked for.

use std::path::PathBuf;

use super::usage::did_you_mean;
use crate::code::Code;

/// Why nothing is run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The name is that of nothing.
    #[error("there is no job `{name}`")]
    Unknown {
        /// What was typed.
        name: String,
        /// The applications in the manifests.
        applications: Vec<String>,
        /// The images with a job.
        images: Vec<String>,
        /// Manifests that nobody can read before they are rendered.
        templates: Vec<String>,
    },
    /// There are several, and none was named.
    #[error("there are several jobs: {}", names.join(", "))]
    Several {
        /// Their names.
        names: Vec<String>,
    },
    /// There is none.
    #[error(
        "no manifest has a SparkApplication with an image of this project, and no image has a job"
    )]
    Nothing {
        /// Manifests that nobody can read before they are rendered.
        templates: Vec<String>,
    },
    /// The application has no image of the project.
    #[error(
        "the SparkApplication `{name}` in {file} has no image of this project{}",
        named(images)
    )]
    OtherImage {
        /// Its name.
        name: String,
        /// Its manifest.
        file: String,
        /// The images that it has.
        images: Vec<String>,
    },
    /// Nothing says which file of the image is run.
    #[error("which file of the image `{image}` is to be run is not known")]
    NoMain {
        /// The image.
        image: String,
    },
    /// Arguments of the application are filled in before it is applied.
    #[error(
        "the arguments of `{name}` are filled in by something else: {}",
        quoted(placeholders)
    )]
    Placeholders {
        /// The application.
        name: String,
        /// The arguments.
        placeholders: Vec<String>,
    },
    /// What is to be mounted is not there.
    #[error("`--volume {text}`: {why}")]
    Volume {
        /// What was typed.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A variable has no value.
    #[error("`--env {name}`: the environment has no variable `{name}`")]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// This machine has no Spark.
    #[error("there is no Spark on this machine: {looked}")]
    NoSpark {
        /// Where it was looked for.
        looked: String,
        /// The version of the chain.
        spark: Option<String>,
    },
    /// The program could not be started.
    #[error("`{}` cannot be started: {why}", program.display())]
    NotStarted {
        /// The program.
        program: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
}

impl RunError {
    /// The code, by which documentation and scripts refer to the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unknown { .. }
            | Self::Several { .. }
            | Self::Nothing { .. }
            | Self::OtherImage { .. }
            | Self::NoMain { .. } => Code::E220,
            Self::Placeholders { .. } => Code::E221,
            Self::Volume { .. } | Self::NoVariable { .. } => Code::E222,
            Self::NoSpark { .. } | Self::NotStarted { .. } => Code::E223,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown {
                name,
                applications,
                images,
                templates,
            } => {
                let all = applications.iter().chain(images);
                if let Some(hint) = did_you_mean(name, all.clone().map(String::as_str)) {
                    return hint;
                }
                let all: Vec<&str> = all.map(String::as_str).collect();
                if all.is_empty() {
                    return Self::about_templates(templates);
                }
                format!("it may be one of {}", all.join(", "))
            }
            Self::Several { names } => {
                format!("name one: `sparkpack run {}`", names.first().map_or("JOB", String::as_str))
            }
            Self::Nothing { templates } => Self::about_templates(templates),
            Self::OtherImage { .. } => {
                "name an image of the project instead: `sparkpack run IMAGE -- ARGUMENTS`".to_owned()
            }
            Self::NoMain { image } => {
                format!("say it: `sparkpack run {image} --main local:///opt/job/main.py`")
            }
            Self::Placeholders { name, .. } => {
                format!("give all arguments: `sparkpack run {name} -- ARGUMENTS`")
            }
            Self::Volume { .. } => {
                "write `--volume SOURCE:TARGET` or `SOURCE:TARGET:ro`: a folder or file of this machine, and its absolute path in the container".to_owned()
            }
            Self::NoVariable { name } => format!("set it, or write `--env {name}=VALUE`"),
            Self::NoSpark { spark, .. } => {
                let version = spark.as_ref().map_or_else(String::new, |spark| format!("=={spark}"));
                format!("`pip install pyspark{version}`, or set SPARK_HOME; without `--local` the job runs in its image")
            }
            Self::NotStarted { .. } => "see whether it can be run by itself".to_owned(),
        }
    }

    fn about_templates(templates: &[String]) -> String {
        let Some(first) = templates.first() else {
            return "list the manifests under `[manifests]`, or give an image its code: `[images.job] src = \"src\"`".to_owned();
        };
        format!(
            "{first} is a template, which only its renderer can read: `sparkpack run IMAGE --main FILE -- ARGUMENTS`"
        )
    }
}

fn quoted(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("`{text}`")).collect();
    texts.join(", ")
}

fn named(images: &[String]) -> String {
    if images.is_empty() {
        return String::new();
    }
    format!(": {}", quoted(images))
}
