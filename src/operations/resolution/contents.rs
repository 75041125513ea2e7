//! Looks into images from elsewhere, once for each digest.

use super::{
    elsewhere::{ElsewhereUse, uses_of},
    lookup::{Lookup, reference},
};
use crate::{
    error::{Error, ImageProblem},
    image::{
        ContentFacts, Digest, ImageConfig, ImageDocuments, ImageError, ImageManifest, LayerScanner,
        Reference, Tree,
    },
    operations::{
        events::{Outcome, Progress, Step, Transfer},
        workspace::side_by_side,
    },
    project::{
        Image,
        elsewhere::LockedContents,
        lock::{Lock, LockedImage},
    },
};

/// The layers that are read at once.
const LAYERS_AT_ONCE: usize = 4;

impl Lookup<'_> {
    /// Looks into the images from elsewhere of which `lock` does not know what is in them.
    pub(super) fn contents(&self, lock: &mut Lock) -> Result<(), Error> {
        let is_meant = |image: &Image| self.inputs.get(&image.name).is_some();
        let uses = uses_of(&self.session.project, is_meant);
        for wanted in &uses {
            if lock.contents_of(wanted.chain, wanted.platform).is_some() {
                continue;
            }
            let text = &wanted.elsewhere.image;
            let Some(locked) = lock.images.get(text).cloned() else {
                continue;
            };
            let name = &wanted.chain.name;
            let of_chain = uses.iter().filter(|used| used.chain.name == *name);
            let title = match of_chain.count() {
                1 => name.clone(),
                _ => format!("{name} ({})", wanted.platform),
            };
            let mut progress = self.session.events.begin(&title);
            progress.step(Step::LookInto(text));
            let found = match &locked {
                LockedImage::Registry { digest, platforms } => {
                    let digest = platforms.get(wanted.platform).unwrap_or(digest);
                    self.in_registry(wanted, digest, &locked, progress.as_mut())?
                }
                LockedImage::LocalDaemon { local_id } => self.in_daemon(wanted, local_id)?,
            };
            let described = found.described();
            progress.end(Outcome::LookedInto {
                image: text,
                found: &described,
            });
            let of_chain = lock.contents.entry(wanted.chain.name.clone()).or_default();
            of_chain.insert(wanted.platform.clone(), found);
        }
        Ok(())
    }

    /// What is in a registry's image. Its layers are read and not kept.
    fn in_registry(
        &self,
        wanted: &ElsewhereUse<'_>,
        digest: &Digest,
        locked: &LockedImage,
        progress: &mut dyn Progress,
    ) -> Result<LockedContents, Error> {
        let text = &wanted.elsewhere.image;
        let registry = self.services.registry()?;
        let pinned: Reference = reference(text)?.repository.with_digest(digest);
        let documents = registry.documents(&pinned, wanted.platform)?;
        let documents = documents.ok_or_else(|| Error::unexpected(text, ImageProblem::Gone))?;
        let manifest = ImageManifest::parse(&documents.manifest).map_err(refused(text))?;
        let config = wanted.config(&documents)?;
        let scanner = LayerScanner::new(&config).map_err(refused(text))?;
        let total = manifest.layers.iter().map(|layer| layer.size).sum();
        let (mut tree, mut done) = (Tree::default(), 0);
        for layers in manifest.layers.chunks(LAYERS_AT_ONCE) {
            let scanned = side_by_side(layers, &|layer| {
                registry.scan_layer(&pinned.repository, layer, &scanner)
            });
            for layer in scanned {
                tree.add(layer?);
            }
            done += layers.iter().map(|layer| layer.size).sum::<u64>();
            progress.moved(Transfer::Fetched, done, Some(total));
        }
        let manifest = Some(Digest::of(&documents.manifest));
        let found = wanted.found(&config, &tree, locked)?;
        Ok(LockedContents { manifest, ..found })
    }

    /// What is in an image that only the daemon has.
    fn in_daemon(&self, wanted: &ElsewhereUse<'_>, id: &Digest) -> Result<LockedContents, Error> {
        let text = &wanted.elsewhere.image;
        let daemon = self.services.daemon()?;
        let gone = || Error::unexpected(text, ImageProblem::Gone);
        let info = daemon.inspect(id.as_str())?.ok_or_else(gone)?;
        let documents = daemon.parent(id.as_str())?.ok_or_else(gone)?;
        let config = wanted.config(&documents)?;
        let mut tree = Tree::default();
        let scanner = LayerScanner::new(&config).map_err(refused(text))?;
        tree.add(daemon.scan(&info, &scanner)?);
        let local_id = id.clone();
        wanted.found(&config, &tree, &LockedImage::LocalDaemon { local_id })
    }
}

impl ElsewhereUse<'_> {
    /// The config of an image, which must be for the platform that is wanted.
    fn config(&self, documents: &ImageDocuments) -> Result<ImageConfig, Error> {
        let text = &self.elsewhere.image;
        let config = ImageConfig::parse(&documents.config).map_err(refused(text))?;
        Error::check_platform(text, self.platform, &config.platform)?;
        Ok(config)
    }

    fn found(
        &self,
        config: &ImageConfig,
        tree: &Tree,
        locked: &LockedImage,
    ) -> Result<LockedContents, Error> {
        let text = &self.elsewhere.image;
        let looked_at = self.elsewhere.looked_at();
        let named = looked_at.spark_home.as_deref();
        let facts = ContentFacts::of(config, tree, named, &looked_at.site_packages);
        let facts = facts.map_err(refused(text))?;
        if let Some(program) = facts
            .program
            .as_ref()
            .filter(|one| !one.runs_on(self.platform))
        {
            let problem = ImageProblem::OtherPrograms {
                wanted: self.platform.clone(),
                program: program.clone(),
            };
            return Err(Error::unexpected(text, problem));
        }
        Ok(LockedContents::of(
            &facts,
            locked.digest().clone(),
            self.elsewhere,
        ))
    }
}

/// The error about an image on which nothing can be put.
fn refused(text: &str) -> impl Fn(ImageError) -> Error {
    move |error| Error::unexpected(&text, ImageProblem::NoParent(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        adapters::fakes::{documents_of, image, registry_image},
        adapters::registry::{Listing, RegistryImage},
        code::Code,
        image::Platform,
        operations::{
            resolution::prepare,
            testing::{Project, TestRun},
            workspace::LockPolicy,
        },
    };

    const IMAGE: &str = "registry.example/spark:1";

    const CONFIGURATION: &str = "format = 1\nproject = \"small\"\nregistries.main = \"registry.example/small\"\n\
        [chains.main]\nimage = \"registry.example/spark:1\"\n[images.job]\nparent = \"py\"\nsrc = \"src\"\n";

    /// The tar of a layer with a Spark, a Python and the GNU C library.
    fn layer(spark: &str, python: &str) -> Vec<u8> {
        let jar = format!("opt/spark/jars/spark-core_2.12-{spark}.jar");
        let mut builder = tar::Builder::new(Vec::new());
        for path in [
            jar.as_str(),
            "usr/lib/ld-linux.so.2",
            &format!("usr/bin/{python}"),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            header.set_mode(0o755);
            builder
                .append_data(&mut header, path, std::io::empty())
                .unwrap();
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder
            .append_link(&mut header, "usr/bin/python3", python)
            .unwrap();
        builder.into_inner().unwrap()
    }

    fn run() -> TestRun {
        let project = Project::new(&[
            ("sparkpack.toml", CONFIGURATION),
            ("sparkpack.lock", "format = 1\n"),
            ("src/main.py", "print('main')\n"),
            ("src/jobs/__init__.py", ""),
        ]);
        TestRun {
            policy: LockPolicy::Update,
            ..TestRun::new(project)
        }
    }

    /// Gives the registry an image with one layer.
    fn put(run: &TestRun, content: &str, tar: Vec<u8>) {
        let info = image(content);
        run.registry.put_layer(&info.diff_ids[0], tar);
        let documents = documents_of(&info);
        let there = RegistryImage {
            digest: Digest::of(&documents.manifest),
            manifest: documents.manifest,
            ..registry_image(info)
        };
        let digest = there.digest.clone();
        run.registry
            .images
            .put(&format!("registry.example/spark@{digest}"), there);
        let platforms = [(Platform::default(), digest.clone())].into();
        run.registry.list(IMAGE, Listing { digest, platforms });
    }

    fn lock_of(run: &TestRun) -> Result<Lock, Error> {
        run.run(|session, services| Ok(prepare(session, services)?.lock))
    }

    #[test]
    fn an_image_is_looked_into_once_for_each_digest() {
        let run = run();
        put(&run, "one", layer("3.5.8", "python3.10"));
        let lock = lock_of(&run).unwrap();
        let found = &lock.contents["main"][&Platform::default()];
        assert_eq!(found.python.as_deref(), Some("3.10"));
        assert_eq!(found.digest, *lock.images[IMAGE].digest());
        assert!(
            run.events
                .told()
                .iter()
                .any(|line| line == "main: look into registry.example/spark:1")
        );
        // Only the digest counts.
        put(&run, "two", layer("3.5.9", "python3.11"));
        assert_eq!(lock_of(&run).unwrap(), lock);
        assert!(
            !run.events
                .told()
                .iter()
                .any(|line| line.contains("look into"))
        );
        let digest = lock.images[IMAGE].digest().to_string();
        let other = Digest::of(b"another").to_string();
        let text = run.project.read("sparkpack.lock");
        let text = text.replacen(&digest, &other, 1);
        run.project.write("sparkpack.lock", &text);
        lock_of(&run).unwrap();
        let told = run.events.told();
        assert!(
            told.iter().any(|line| line.contains("look into")),
            "{told:?}"
        );
    }

    #[test]
    fn without_what_is_in_it_there_is_no_plan() {
        let mut run = run();
        put(&run, "one", layer("3.5.8", "python3.10"));
        let lock = lock_of(&run).unwrap();
        let text = run.project.read("sparkpack.lock");
        let begin = text.find("[contents").unwrap();
        let end = text[begin..]
            .find("[images")
            .map_or(text.len(), |end| begin + end);
        run.project
            .write("sparkpack.lock", &text.replace(&text[begin..end], ""));
        for policy in [LockPolicy::ReadOnly, LockPolicy::Offline] {
            run.policy = policy;
            let error = lock_of(&run).unwrap_err();
            assert_eq!(error.code(), Code::E033, "{policy:?}: {error}");
            assert!(
                error.to_string().contains("what is in the image"),
                "{error}"
            );
        }
        run.policy = LockPolicy::Update;
        assert_eq!(lock_of(&run).unwrap(), lock);
    }

    #[test]
    fn what_only_the_daemon_has_is_looked_into_there() {
        let run = run();
        let info = image("local");
        run.daemon
            .images
            .put_files(&info.id, layer("4.0.1", "python3.12"));
        run.daemon.images.put(info.id.as_str(), info.clone());
        run.daemon.images.put(IMAGE, info);
        let lock = lock_of(&run).unwrap();
        let found = &lock.contents["main"][&Platform::default()];
        assert_eq!(
            (found.python.as_deref(), &found.manifest),
            (Some("3.12"), &None)
        );
        assert!(matches!(
            lock.images[IMAGE],
            LockedImage::LocalDaemon { .. }
        ));
    }

    /// What a Dockerfile puts on an image is its own matter.
    #[test]
    fn what_only_a_dockerfile_stands_on_is_not_looked_into() {
        let run = run();
        let images =
            "[images.tool]\nparent = \"registry.example/tool:1\"\ndockerfile = \"Dockerfile\"\n";
        let configuration = CONFIGURATION.split("[chains").next().unwrap();
        run.project
            .write("sparkpack.toml", &format!("{configuration}{images}"));
        run.project
            .write("Dockerfile", "ARG PARENT\nFROM ${PARENT}\n");
        let digest = Digest::of(b"tool");
        let platforms = BTreeMap::new();
        run.registry
            .list("registry.example/tool:1", Listing { digest, platforms });
        let lock = lock_of(&run).unwrap();
        assert_eq!((lock.images.len(), lock.contents.len()), (1, 0));
    }

    #[test]
    fn an_image_for_another_platform_is_refused() {
        let run = run();
        run.project.edit(
            "sparkpack.toml",
            "format = 1",
            "format = 1\nplatforms = [\"linux/arm64\"]",
        );
        let info = image("local");
        run.daemon.images.put(info.id.as_str(), info.clone());
        run.daemon.images.put(IMAGE, info);
        let error = lock_of(&run).unwrap_err();
        assert_eq!(error.code(), Code::E606);
        assert!(
            error.to_string().contains("it is for linux/amd64"),
            "{error}"
        );
    }
}
