//! The wheels of every image: from the locks, or chosen now and locked.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    outside::{Missing, Outside},
    session::Session,
};
use crate::{
    adapters::{python::PythonError, store},
    error::Error,
    image::Platform,
    plan::parents_first,
    project::{
        Image, Kind,
        inputs::{BaseImage, ImageInputs, ImageRequirements},
        lock::{self, Lock, LockedWheels},
        place::{Defect, Place},
        requirements::{self, LockedWheel, Pin},
        wheel::{Target, normalise},
    },
};

/// The wheels that an image adds to its parents', by image and platform.
pub(super) type Wheels = BTreeMap<(String, Platform), Vec<LockedWheel>>;

/// The wheels of all images; `lock` gets those of built-in recipes, `requirements.lock` files the others.
pub(super) fn of_all(
    session: &Session<'_>,
    outside: &Outside<'_>,
    missing: Missing,
    lock: &mut Lock,
    inputs: &BTreeMap<String, ImageInputs>,
) -> Result<Wheels, Error> {
    let mut chooser = Chooser {
        session,
        outside,
        missing,
        lock,
        wheels: Wheels::new(),
        provided: BTreeMap::new(),
    };
    for name in parents_first(&session.project, inputs)? {
        if let (Some(image), Some(inputs)) = (session.project.images.get(&name), inputs.get(&name))
        {
            chooser.image(image, inputs)?;
        }
    }
    Ok(chooser.wheels)
}

struct Chooser<'a> {
    session: &'a Session<'a>,
    outside: &'a Outside<'a>,
    missing: Missing,
    lock: &'a mut Lock,
    wheels: Wheels,
    /// What each image has, its parents' included.
    provided: BTreeMap<(String, Platform), Vec<Pin>>,
}

impl Chooser<'_> {
    fn image(&mut self, image: &Image, inputs: &ImageInputs) -> Result<(), Error> {
        for platform in &image.platforms {
            let key = (image.name.clone(), platform.clone());
            let mut provided = self.of_parents(inputs, platform);
            if let Some(requirements) = &inputs.requirements {
                let target = self.target(image, platform)?;
                let chosen = self.locked_or_chosen(image, requirements, &provided, &target)?;
                provided.extend(chosen.iter().map(LockedWheel::pin));
                self.wheels.insert(key.clone(), chosen);
            }
            if let (Kind::Py, Some(chain)) = (image.kind, self.session.project.chain_of(image)) {
                provided.push(Pin::new("pyspark", &chain.spark));
            }
            provided.sort();
            provided.dedup();
            self.provided.insert(key, provided);
        }
        Ok(())
    }

    fn of_parents(&self, inputs: &ImageInputs, platform: &Platform) -> Vec<Pin> {
        let parents = inputs.bases.iter().filter_map(|base| match &base.image {
            BaseImage::Stage(name) => self.provided.get(&(name.clone(), platform.clone())),
            BaseImage::External(_) | BaseImage::Source(_) | BaseImage::Scratch => None,
        });
        parents.flatten().cloned().collect()
    }

    fn target(&self, image: &Image, platform: &Platform) -> Result<Target, Error> {
        let target = self.session.project.target(image, platform);
        target.ok_or_else(|| {
            let message = format!(
                "`{}` has requirements, but no chain says for which Python",
                image.name
            );
            let defect = Defect::new("E023", image.place.clone(), message);
            let hint = "add `[chains.main]` with `spark` and `python`";
            defect.hint(hint).into()
        })
    }

    fn locked_or_chosen(
        &mut self,
        image: &Image,
        requirements: &ImageRequirements,
        provided: &[Pin],
        target: &Target,
    ) -> Result<Vec<LockedWheel>, Error> {
        let known = if requirements.built_in {
            self.built_in(image, requirements, provided, target)
        } else {
            self.beside(requirements)?
                .filter(|lock| lock.is_current_for(&requirements.requirements, provided, target))
        };
        if let Some(wheels) = known.and_then(|mut lock| lock.wheels.remove(&target.platform)) {
            return Ok(wheels);
        }
        if self.missing == Missing::Refuse {
            return Err(unlocked(image, requirements, target).into());
        }
        self.choose(image, requirements, provided, target)
    }

    fn choose(
        &mut self,
        image: &Image,
        requirements: &ImageRequirements,
        provided: &[Pin],
        target: &Target,
    ) -> Result<Vec<LockedWheel>, Error> {
        let line = self.session.ui.stage(&image.name);
        let file = described(requirements);
        line.step(&format!("choosing wheels for {file}"));
        let installer = self.outside.installer()?;
        let resolved = installer.lock(&requirements.requirements, target, provided);
        let resolved = resolved.map_err(|error| placed(requirements, error))?;
        let took = line.elapsed();
        line.finish(&format!(
            "chose {} wheels for {file} in {took}",
            resolved.wheels.len()
        ));
        let mut lock = if requirements.built_in {
            None
        } else {
            self.beside(requirements)?
        };
        // Another platform's wheels stay, if they were chosen for the same.
        let same = |lock: &requirements::Lock| {
            lock.meaning == requirements.requirements.meaning(provided)
                && (lock.python, lock.glibc) == (target.python, target.glibc)
        };
        let mut whole = lock
            .take()
            .filter(same)
            .unwrap_or_else(|| requirements::Lock {
                meaning: requirements.requirements.meaning(provided),
                python: target.python,
                glibc: target.glibc,
                wheels: BTreeMap::new(),
                left_out: std::collections::BTreeSet::new(),
            });
        whole
            .wheels
            .insert(target.platform.clone(), resolved.wheels.clone());
        whole.left_out.extend(resolved.left_out);
        self.keep(image, requirements, target, &whole)?;
        Ok(resolved.wheels)
    }

    fn keep(
        &mut self,
        image: &Image,
        requirements: &ImageRequirements,
        target: &Target,
        whole: &requirements::Lock,
    ) -> Result<(), Error> {
        if !requirements.built_in {
            let file = lock_file(requirements);
            store::replace(
                &self.session.project.root.join(&file),
                whole.to_text().as_bytes(),
            )?;
            self.session
                .ui
                .say(format!("{} written: commit it", file.display()));
            return Ok(());
        }
        let files = whole.wheels.get(&target.platform).into_iter().flatten();
        let locked = LockedWheels {
            requirements: whole.meaning.clone(),
            python: dotted(target.python),
            glibc: dotted(target.glibc),
            files: files
                .map(|locked| (locked.wheel.file_name.clone(), locked.sha256.clone()))
                .collect(),
        };
        self.lock
            .wheels
            .entry(image.name.clone())
            .or_default()
            .insert(target.platform.clone(), locked);
        Ok(())
    }

    /// The lock of a built-in recipe's requirements, if it answers for this target.
    fn built_in(
        &self,
        image: &Image,
        requirements: &ImageRequirements,
        provided: &[Pin],
        target: &Target,
    ) -> Option<requirements::Lock> {
        let locked = self.lock.wheels.get(&image.name)?.get(&target.platform)?;
        let meaning = requirements.requirements.meaning(provided);
        if locked.requirements != meaning
            || locked.python != dotted(target.python)
            || locked.glibc != dotted(target.glibc)
        {
            return None;
        }
        let wheels = locked.files.iter().map(|(name, sha256)| {
            Some(LockedWheel {
                wheel: name.parse().ok()?,
                sha256: sha256.clone(),
            })
        });
        let wheels = wheels.collect::<Option<Vec<_>>>()?;
        Some(requirements::Lock {
            meaning,
            python: target.python,
            glibc: target.glibc,
            wheels: BTreeMap::from([(target.platform.clone(), wheels)]),
            left_out: std::collections::BTreeSet::new(),
        })
    }

    fn beside(
        &self,
        requirements: &ImageRequirements,
    ) -> Result<Option<requirements::Lock>, Error> {
        let file = lock_file(requirements);
        match fs_err::read_to_string(self.session.project.root.join(&file)) {
            Ok(text) => Ok(Some(requirements::Lock::parse(&file, &text)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn unlocked(image: &Image, requirements: &ImageRequirements, target: &Target) -> Defect {
    let file = if requirements.built_in {
        Path::new(lock::FILE_NAME)
    } else {
        &requirements.requirements.file
    };
    let (of, platform) = (described(requirements), &target.platform);
    let name = &image.name;
    let message = format!("`{name}` needs the wheels for {of} ({platform}), which no lock has");
    let defect = Defect::new("E033", Place::of_line(file, 1), message);
    defect.hint("run `sparkpack build`, which completes the locks")
}

/// The error with the line that wants the package, where a line does.
fn placed(requirements: &ImageRequirements, error: PythonError) -> Error {
    let package = error.package().map(normalise);
    let mut names = requirements.requirements.names();
    let Some((_, place)) = names.find(|(name, _)| Some(*name) == package.as_deref()) else {
        return error.into();
    };
    let defect = Defect::new(error.code(), place.clone(), error.to_string());
    let hint = error.hint();
    Defect { hint, ..defect }.into()
}

fn described(requirements: &ImageRequirements) -> String {
    if requirements.built_in {
        "its built-in requirements".to_owned()
    } else {
        requirements.requirements.file.display().to_string()
    }
}

fn lock_file(requirements: &ImageRequirements) -> PathBuf {
    requirements::lock_file_beside(Path::new(&requirements.requirements.file))
}

fn dotted((major, minor): (u8, u8)) -> String {
    format!("{major}.{minor}")
}
