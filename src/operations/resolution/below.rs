//! What the images below an image have of Python's packages, and for whose sake.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::python::Provided,
    project::{
        inputs::ImageRequirements,
        place::Place,
        requirements::{LockedWheel, Pin, SPARKS_OWN},
    },
};

/// A package in an image below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Have {
    pub(super) pin: Pin,
    pub(super) owner: Owner,
}

/// Whose a package is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// That of an image of the project, by its name.
    Image {
        name: String,
        /// The requirement that asks for it; `None` if it came along with others.
        asks: Option<Asks>,
    },
    /// That of an image from elsewhere, as it is written.
    Elsewhere(String),
    /// That of a chain's Spark.
    Spark(Place),
}

/// A requirement that asks for a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asks {
    requirement: String,
    /// Its line; `None` for the built-in requirements.
    place: Option<Place>,
}

/// The packages of the images below an image, by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Below {
    /// What somebody asked for: an image above has to agree with it.
    pub(super) binding: BTreeMap<String, Have>,
    /// What came along: another version may take its place in a folder that is searched first. The same version is not
    /// shipped again.
    pub(super) along: BTreeMap<String, Have>,
}

impl Below {
    /// Adds what a parent has. Of two parents the first counts.
    pub(super) fn add(&mut self, parent: &Self) {
        for (name, have) in &parent.binding {
            self.bind(name, have.clone());
        }
        for (name, have) in &parent.along {
            self.came_along(name, have.clone());
        }
    }

    fn bind(&mut self, name: &str, have: Have) {
        self.along.remove(name);
        self.binding.entry(name.to_owned()).or_insert(have);
    }

    fn came_along(&mut self, name: &str, have: Have) {
        if !self.binding.contains_key(name) {
            self.along.entry(name.to_owned()).or_insert(have);
        }
    }

    /// Adds what an image from elsewhere has.
    pub(super) fn add_elsewhere(&mut self, image: &str, binding: Vec<Pin>, all: Vec<Pin>) {
        let have = |pin: Pin| Have {
            pin,
            owner: Owner::Elsewhere(image.to_owned()),
        };
        let others = |pin: &Pin| !SPARKS_OWN.contains(&pin.name.as_str());
        for pin in binding.into_iter().filter(others) {
            self.bind(&pin.name.clone(), have(pin));
        }
        for pin in all.into_iter().filter(others) {
            self.came_along(&pin.name.clone(), have(pin));
        }
    }

    /// Adds the `PySpark` of a chain's Spark.
    pub(super) fn add_spark(&mut self, version: &str, place: &Place) {
        let pin = Pin::new("pyspark", version);
        let owner = Owner::Spark(place.clone());
        self.bind("pyspark", Have { pin, owner });
    }

    /// Adds what an image itself has: the wheels chosen for its requirements, and what these ask for of the packages
    /// that merely came along below it.
    pub(super) fn add_own(
        &mut self,
        image: &str,
        requirements: &ImageRequirements,
        wheels: &[LockedWheel],
    ) {
        let asked = requirements.requirements.asked_for();
        let asks = |name: &str| {
            asked.get(name).map(|wanted| Asks {
                requirement: wanted.to_string(),
                place: (!requirements.built_in).then(|| wanted.place.clone()),
            })
        };
        let owner = |asks| Owner::Image {
            name: image.to_owned(),
            asks,
        };
        for pin in wheels.iter().map(LockedWheel::pin) {
            let name = pin.name.clone();
            let asks = asks(&name);
            self.along.remove(&name);
            let is_asked = asks.is_some();
            let have = Have {
                pin,
                owner: owner(asks),
            };
            if is_asked {
                self.bind(&name, have);
            } else {
                self.came_along(&name, have);
            }
        }
        for name in asked.keys() {
            if let (Some(have), asks @ Some(_)) = (self.along.get(*name), asks(name)) {
                let pin = have.pin.clone();
                let owner = owner(asks);
                self.bind(name, Have { pin, owner });
            }
        }
    }

    /// What an installer has to know.
    pub(super) fn provided(&self) -> Provided {
        let of_project = |have: &&Have| matches!(have.owner, Owner::Image { .. });
        let names = self.binding.values().filter(of_project);
        Provided {
            binding: self.pins(),
            on_index: names.map(|have| have.pin.name.clone()).collect(),
            along: self.along_pins(),
            spark_extras: Vec::new(),
            built: Vec::new(),
        }
    }

    pub(super) fn pins(&self) -> Vec<Pin> {
        self.binding.values().map(|have| have.pin.clone()).collect()
    }

    pub(super) fn along_pins(&self) -> Vec<Pin> {
        self.along.values().map(|have| have.pin.clone()).collect()
    }

    /// The wheels that take the place of other versions, in words: `python-dateutil 2.9.0 (ds has 2.8.2)`.
    pub(super) fn replaced_by(&self, wheels: &[LockedWheel]) -> Vec<String> {
        let replaced = wheels.iter().filter_map(|locked| {
            let have = self.along.get(&locked.wheel.name)?;
            Some(format!(
                "{} {} ({} has {})",
                locked.wheel.name,
                locked.wheel.version,
                have.owner.name(),
                have.pin.version
            ))
        });
        replaced.collect()
    }

    /// For each of the binding packages among `names`, who has it and why.
    pub(super) fn reasons(&self, names: &BTreeSet<String>) -> Vec<&Have> {
        let named = self
            .binding
            .iter()
            .filter(|(name, _)| names.contains(*name));
        named.map(|(_, have)| have).collect()
    }
}

impl Owner {
    fn name(&self) -> &str {
        match self {
            Self::Image { name, .. } => name,
            Self::Elsewhere(image) => image,
            Self::Spark(_) => "the chain's Spark",
        }
    }
}

impl Have {
    /// Who has it, in which version, and for whose sake.
    pub(super) fn reason(&self) -> String {
        let Pin { name, version } = &self.pin;
        match &self.owner {
            Owner::Spark(place) => format!("the chain's Spark is {version} ({place})"),
            Owner::Elsewhere(image) => format!("`{image}` has {name} {version}"),
            Owner::Image { name: image, asks } => {
                let asks = match asks {
                    None => String::new(),
                    Some(Asks {
                        requirement,
                        place: None,
                    }) => {
                        format!(": its built-in requirements ask for `{requirement}`")
                    }
                    Some(Asks {
                        requirement,
                        place: Some(place),
                    }) => {
                        format!(
                            ": {}:{} asks for `{requirement}`",
                            place.file.display(),
                            place.line
                        )
                    }
                };
                format!("`{image}` has {name} {version}{asks}")
            }
        }
    }

    /// What can be done if an image above needs another version.
    pub(super) fn ways_out(&self, wanted: &str) -> String {
        let Pin { name, version } = &self.pin;
        match &self.owner {
            Owner::Spark(_) => format!(
                "take a version that fits Spark {version}, or change `spark` of the chain: PySpark comes with it, and the line can be left out"
            ),
            Owner::Elsewhere(_) => format!(
                "take a version that fits {name} {version}, or say by `binding = […]` of the chain what a job has to agree with"
            ),
            Owner::Image { name: image, .. } => format!(
                "move `{wanted}` to the requirements of `{image}`, or give the job a `{image}` of its own (`[images.NAME]` with `requirements`), or write `parent = \"py\"` and require all that the job needs"
            ),
        }
    }
}
