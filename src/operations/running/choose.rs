//! Chooses what is run: an application of a manifest, or the main file of an image.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    error::RunError,
    operations::manifests::DescribedApplication,
    project::{Image, Project},
    yaml::SparkApplication,
};

/// The folder of a job in its image.
const FOLDER: &str = "/opt/job";

/// What is run.
#[derive(Clone, Debug)]
pub(super) struct ChosenJob {
    /// What messages call it.
    pub(super) title: String,
    /// The image of the project.
    pub(super) image: String,
    /// The application, if a manifest describes one.
    pub(super) application: Option<SparkApplication>,
    /// The file that `spark-submit` runs, unless the application says it.
    pub(super) main: Option<String>,
}

/// What there is to choose from.
pub(super) struct Choice<'a> {
    pub(super) project: &'a Project,
    pub(super) applications: &'a [DescribedApplication],
    /// Manifests that are templates.
    pub(super) templates: &'a [String],
    /// Whether an image will do: its arguments are given, or it gets a shell.
    pub(super) needs_image_alone: bool,
}

impl Choice<'_> {
    /// What `name` means: an application, a manifest with one, an image, or a main file; without a name, the only thing that
    /// there is.
    ///
    /// # Errors
    /// It means nothing, or several.
    pub(super) fn choose(&self, name: Option<&str>) -> Result<ChosenJob, RunError> {
        let usable: Vec<&DescribedApplication> = self
            .applications
            .iter()
            .filter(|described| described.image.is_some())
            .collect();
        let Some(name) = name else {
            return match usable.as_slice() {
                [] => self.only_image(),
                [one] => Ok(of_application(one)),
                several => self.of_several(several),
            };
        };
        let named = |described: &&&DescribedApplication| {
            described.application.name == name || described.file == name.trim_start_matches("./")
        };
        let named: Vec<&DescribedApplication> = usable.iter().filter(named).copied().collect();
        match named.as_slice() {
            [] => {}
            [one] => return Ok(of_application(one)),
            several => return Self::same(several).ok_or_else(|| Self::several(several)),
        }
        if let Some(image) = self.project.images.get(name) {
            return self.of_image(image, &usable);
        }
        self.of_main_file(name)
            .ok_or_else(|| self.unknown(name, &usable))
    }

    /// Of several applications that do not differ the first; else, where no application is needed, their image.
    fn of_several(&self, several: &[&DescribedApplication]) -> Result<ChosenJob, RunError> {
        if let Some(chosen) = Self::same(several) {
            return Ok(chosen);
        }
        let images: BTreeSet<&String> = several
            .iter()
            .filter_map(|one| one.image.as_ref())
            .collect();
        let mut images = images.into_iter();
        match (images.next(), images.next()) {
            (Some(image), None) if self.needs_image_alone => {
                Ok(of_main(&self.project.images[image], None))
            }
            _ => Err(Self::several(several)),
        }
    }

    /// The first of several applications that do not differ: environments often have the same one each.
    fn same(several: &[&DescribedApplication]) -> Option<ChosenJob> {
        let (first, rest) = several.split_first()?;
        let is_same = |other: &&DescribedApplication| {
            other.image == first.image
                && SparkApplication {
                    images: first.application.images.clone(),
                    ..other.application.clone()
                } == first.application
        };
        rest.iter().all(is_same).then(|| of_application(first))
    }

    fn several(several: &[&DescribedApplication]) -> RunError {
        let names: BTreeSet<&str> = several
            .iter()
            .map(|described| described.application.name.as_str())
            .collect();
        let shown = if names.len() == several.len() && !names.contains("") {
            names.into_iter().map(str::to_owned).collect()
        } else {
            several
                .iter()
                .map(|described| described.file.clone())
                .collect()
        };
        RunError::Several { names: shown }
    }

    fn jobs(&self) -> Vec<&Image> {
        let images = self.project.images.values().map(Arc::as_ref);
        images.filter(|image| image.package.is_some()).collect()
    }

    fn only_image(&self) -> Result<ChosenJob, RunError> {
        match self.jobs().as_slice() {
            [one] => Ok(of_main(one, None)),
            [] => Err(RunError::Nothing {
                templates: self.templates.to_vec(),
            }),
            several => Err(RunError::Several {
                names: several.iter().map(|image| image.name.clone()).collect(),
            }),
        }
    }

    /// An image by itself where arguments are given, else the one application that it has.
    fn of_image(
        &self,
        image: &Image,
        usable: &[&DescribedApplication],
    ) -> Result<ChosenJob, RunError> {
        let of_image =
            |described: &&&DescribedApplication| described.image.as_ref() == Some(&image.name);
        let own: Vec<&DescribedApplication> = usable.iter().filter(of_image).copied().collect();
        match own.as_slice() {
            [one] => Ok(of_application(one)),
            [] => Ok(of_main(image, None)),
            several => self.of_several(several),
        }
    }

    /// A main file, as it is configured.
    fn of_main_file(&self, name: &str) -> Option<ChosenJob> {
        let name = name.trim_start_matches("./");
        self.jobs().into_iter().find_map(|image| {
            let package = image.package.as_ref()?;
            if package.main.path == name {
                return Some(of_main(image, None));
            }
            let mut beside = package.beside.iter();
            let (place, _) = beside.find(|(place, file)| *place == name || file.path == name)?;
            Some(of_main(image, Some(place)))
        })
    }

    fn unknown(&self, name: &str, usable: &[&DescribedApplication]) -> RunError {
        let without_image = self.applications.iter();
        let mut without_image = without_image
            .filter(|described| described.application.name == name && described.image.is_none());
        if let Some(described) = without_image.next() {
            return RunError::OtherImage {
                name: name.to_owned(),
                file: described.file.clone(),
                images: described.application.images.clone(),
            };
        }
        let applications = usable.iter().map(|one| one.application.name.clone());
        let images = self.jobs().into_iter().map(|image| image.name.clone());
        RunError::Unknown {
            name: name.to_owned(),
            applications: applications.filter(|name| !name.is_empty()).collect(),
            images: images.collect(),
            templates: self.templates.to_vec(),
        }
    }
}

fn of_application(described: &DescribedApplication) -> ChosenJob {
    let name = &described.application.name;
    ChosenJob {
        title: if name.is_empty() {
            described.file.clone()
        } else {
            name.clone()
        },
        image: described.image.clone().unwrap_or_default(),
        application: Some(described.application.clone()),
        main: None,
    }
}

/// The main file of an image, or one of those beside it.
fn of_main(image: &Image, beside: Option<&str>) -> ChosenJob {
    let file = beside.unwrap_or("main.py");
    ChosenJob {
        title: beside.unwrap_or(&image.name).to_owned(),
        image: image.name.clone(),
        application: None,
        main: image
            .package
            .is_some()
            .then(|| format!("local://{FOLDER}/{file}")),
    }
}
