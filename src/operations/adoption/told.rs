//! What a proposal says of itself: the names, the versions, what it could not tell, and the facts that it follows from.

use std::collections::BTreeSet;

use super::{
    chain::{self, ChainPlan},
    document::ConfigTable,
    entries,
    manifests::Manifest,
    proposal::Proposal,
    remark::{Fact, Remark},
    survey::ProjectSurvey,
    units::Units,
};
use crate::project::place::Place;

impl Proposal {
    /// What is assumed of the root image that was taken.
    pub(super) fn tell_root(&mut self) {
        let Some((
            ChainPlan::Made {
                python, has_own, ..
            },
            Some(root),
        )) = &self.chain
        else {
            return;
        };
        let (major, minor) = root.python;
        let image = root.image.unwrap_or("debian:bookworm-slim");
        match python {
            _ if *has_own => {
                let text =
                    format!("Python {major}.{minor}: nothing says the one in the image `base`");
                self.assumed
                    .push(Remark::new(text).cure("another is `[chains.main] python`"));
            }
            Some(range) if !range.allows(root.python) => {
                let text = format!(
                    "no Debian has a Python {}: the chain has {major}.{minor}",
                    range.text
                );
                let cure = "name an image that has it: `[chains.main] image = \"…\"`";
                self.untold.push(Remark::at(&range.place, text).cure(cure));
            }
            _ => {
                let text = format!("Python {major}.{minor}: {image} has it");
                self.assumed
                    .push(Remark::new(text).cure("another is `[chains.main] python` with `root`"));
            }
        }
    }

    pub(super) fn tell_names(&mut self) {
        let naming = &self.naming;
        if let [(_, prefix)] = naming.registries.as_slice() {
            let line = self.top.text("registries.main", prefix);
            match &naming.place {
                Some(place) => line.from("named in", place),
                None => line.assumed("no file names a registry"),
            }
        } else {
            let mut table = ConfigTable::new("registries");
            for (name, prefix) in &naming.registries {
                table.text(name, prefix);
            }
            self.registries = Some(table);
        }
        if let Some(reference) = &naming.reference {
            self.top
                .text("reference", reference)
                .why("one repository, whose tags begin with the image");
        }
        if !naming.formerly.is_empty() {
            self.top
                .list("formerly", &naming.formerly)
                .why("`pin` replaces these");
        }
        if naming.place.is_none() {
            let prefix = naming.registries.first().map_or("", |(_, prefix)| prefix);
            let text = format!("images go to `{prefix}`, which is no registry: nothing names one");
            self.assumed
                .push(Remark::new(text).cure("write yours as `registries.main` before you push"));
        }
    }

    pub(super) fn tell_chain(&mut self, survey: &ProjectSurvey) {
        let Some((plan, _)) = &self.chain else {
            return;
        };
        self.facts.extend(chain::facts(plan));
        match plan {
            ChainPlan::Made {
                spark, from: None, ..
            } => {
                let text = format!("Spark {spark}: no file says a version");
                self.assumed
                    .push(Remark::new(text).cure("another is `[chains.main] spark`"));
            }
            ChainPlan::Made {
                spark,
                from: Some(from),
                ..
            } => {
                self.untold
                    .extend(chain::contradictions(survey, spark, from));
            }
            ChainPlan::Elsewhere { .. } => {}
        }
    }

    pub(super) fn tell_untold(&mut self, survey: &ProjectSurvey, units: Units<'_>) {
        self.untold.extend(units.untold);
        for defect in &survey.dockerfiles.wrong {
            let text = format!("this Dockerfile is left out: {}", defect.message);
            self.untold.push(Remark::at(&defect.place, text));
        }
        let has_requirements = !self.draft.requirements.is_empty();
        for (path, why) in survey
            .requirements
            .unreadable
            .iter()
            .filter(|_| !has_requirements)
        {
            let text = format!("what `{path}` requires is not read: {why}");
            let cure = "list it in a requirements.txt, and name that as `requirements`";
            self.untold
                .push(Remark::at(&Place::of_line(path, 1), text).cure(cure));
        }
        for (name, place) in self.naming.foreign.iter().take(4) {
            let repository = name
                .repository
                .as_ref()
                .map_or(name.last.clone(), ToString::to_string);
            let text = format!("nothing here builds `{repository}`, which is named here");
            self.untold.push(Remark::at(place, text));
        }
        self.tell_manifests(survey);
        self.tell_moved(survey);
        self.tell_unread(survey);
    }

    /// What stands in manifests and is not written there.
    fn tell_manifests(&mut self, survey: &ProjectSurvey) {
        for (image, place) in chain::public_images(&survey.manifests).iter().take(4) {
            let text = format!("`{image}` is Spark's own image, and not the job's");
            let cure = "name the job's image there: `sparkpack tags` prints it";
            self.untold.push(Remark::at(place, text).cure(cure));
        }
        for (place, file) in survey
            .manifests
            .iter()
            .flat_map(|manifest| &manifest.far)
            .take(4)
        {
            let text = format!("`{file}` is started, and not the file in the image");
            let cure = "write `local:///opt/job/main.py`, or where your Dockerfile puts it";
            self.untold.push(Remark::at(place, text).cure(cure));
        }
        for manifest in &survey.manifests {
            // What Helm fills in stands in values, which are written.
            let mut filled_in = manifest
                .filled_in
                .iter()
                .filter(|(_, text)| !text.contains("{{"));
            if let Some((place, written)) = filled_in.next() {
                let text = format!(
                    "`{written}` is filled in when it is rendered, so that no tag is written there"
                );
                let cure = "`sparkpack tags --format env` prints the references for it";
                self.untold.push(Remark::at(place, text).cure(cure));
            }
        }
    }

    /// Main files that are elsewhere in images without a Dockerfile than manifests have them.
    fn tell_moved(&mut self, survey: &ProjectSurvey) {
        if self.naming.images.iter().any(|image| image.unit.is_some()) {
            return;
        }
        for (place, written) in survey.manifests.iter().flat_map(Manifest::started) {
            let file = entries::file_of(&survey.modules, written);
            let there = self.draft.codes.iter().find_map(|code| {
                let index = code
                    .mains
                    .iter()
                    .position(|main| Some(main) == file.as_ref())?;
                Some(if index == 0 {
                    "main.py".to_owned()
                } else {
                    code.mains[index].clone()
                })
            });
            let Some(there) = there.map(|there| format!("local:///opt/job/{there}")) else {
                continue;
            };
            let also = file.map(|file| format!("local:///opt/job/{file}"));
            if *written != there && Some(written) != also.as_ref() {
                let text = format!("`{written}` is not where the image has that file");
                let cure = format!("write `{there}`");
                self.untold.push(Remark::at(place, text).cure(cure));
            }
        }
    }

    /// What was not read.
    fn tell_unread(&mut self, survey: &ProjectSurvey) {
        for what in survey.tree.passed_over.iter().take(4) {
            self.untold
                .push(Remark::new(format!("not looked at: {what}")));
        }
        if !survey.broken.is_empty() {
            let names: Vec<String> = survey
                .broken
                .iter()
                .take(4)
                .map(|path| format!("`{path}`"))
                .collect();
            let text = format!("no YAML, or too large to be read: {}", names.join(", "));
            self.untold.push(Remark::new(text));
        }
        for path in &survey.metadata.broken {
            self.untold
                .push(Remark::at(&Place::of_line(path, 1), "this is no TOML"));
        }
        if survey.modules.is_cut {
            self.untold
                .push(Remark::new("there are more Python files than are read"));
        }
    }

    pub(super) fn tell_facts(&mut self, survey: &ProjectSurvey, project: Option<Fact>) {
        self.facts.splice(0..0, project);
        for image in &self.naming.images {
            if let Some((name, place)) = &image.called {
                let value = match (&name.repository, name.tag_head()) {
                    (Some(repository), Some(head)) if self.naming.reference.is_some() => {
                        format!("{repository}:{head}")
                    }
                    (Some(_), _) => name.shown(),
                    (None, _) => name.last.clone(),
                };
                self.facts.push(Fact::new("image", value, place));
            }
        }
        let others = self.naming.others.iter();
        let registries = others.map(|(prefix, place)| Fact::new("registry", prefix, place));
        self.facts.extend(registries);
        self.facts.append(&mut self.draft.facts);
        for manifest in survey.manifests.iter().take(40) {
            if let Some((place, kind)) = &manifest.spark {
                self.facts.push(Fact::new("manifest", kind, place));
            }
        }
        for (place, target) in &survey.commands.targets {
            self.facts.push(Fact::new("make", target, place));
        }
        let mut seen = BTreeSet::new();
        self.facts.retain(|fact| seen.insert(fact.to_string()));
    }
}
