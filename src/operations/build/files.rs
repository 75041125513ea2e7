//! Puts together the images that only get files: their layers, and what they change in the config of their parent.

use std::collections::BTreeMap;

use super::{context::ContextWriter, parent::LayersBelow, run::Run};
use crate::{
    adapters::{
        layers,
        registry::{Blob, BlobSource, RegistryImage},
    },
    error::{Error, ImageProblem},
    image::{
        AssembledImage, ConfigChanges, Descriptor, Digest, ImageConfig, ImageDocuments, ImageError,
        ImageManifest, LABEL_LAYERS, Layer, LayerFile, Repository, assemble, layers_label,
    },
    operations::events::Progress,
    package::{layer, layering},
    plan::{PYTHON_PATH, PlatformStage},
    project::{inputs::FilesInputs, tree::Entry},
};

/// An image that was put together.
pub(crate) struct Assembled {
    pub(crate) image: AssembledImage,
    /// The layers of its parent.
    pub(crate) below: Vec<Descriptor>,
    /// The layers that its parent does not have.
    pub(crate) layers: Vec<LayerFile>,
}

impl Assembled {
    /// The same as a registry has it.
    pub(crate) fn in_registry(&self) -> RegistryImage {
        self.image.clone().into()
    }

    /// Its layers: those of the parent, and its own. Those that were taken out of a daemon may be mounted from `mounts`.
    pub(crate) fn blobs(&self, below: &LayersBelow, mounts: &[Repository]) -> Vec<Blob> {
        let below: Vec<Blob> = match below {
            LayersBelow::Repository(repository) => {
                let blob = |descriptor: &Descriptor| Blob {
                    descriptor: descriptor.clone(),
                    source: BlobSource::Registry(repository.clone()),
                    mounts: Vec::new(),
                    is_new: false,
                };
                self.below.iter().map(blob).collect()
            }
            LayersBelow::Daemon { files, .. } => {
                let blob = |file: &LayerFile| Blob {
                    mounts: mounts.to_vec(),
                    ..Blob::from(file.clone())
                };
                files.iter().map(blob).collect()
            }
        };
        let own = self.layers.iter().cloned().map(Blob::from);
        below.into_iter().chain(own).collect()
    }
}

/// Files that become one layer.
struct Group {
    /// What the history of the image says about it.
    created_by: String,
    /// Their paths are those in the image.
    entries: Vec<Entry>,
    /// Whether they are installed packages, whose files are not looked at before they are read.
    is_installed: bool,
}

/// Puts images together.
pub(crate) struct FilesAssembler<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) contexts: &'a ContextWriter<'a>,
}

impl FilesAssembler<'_> {
    /// Puts the files of a stage on the image with the documents `parent`, which is called `name`.
    pub(crate) fn assemble(
        &self,
        (stage, inputs): (&PlatformStage, &FilesInputs),
        (name, parent): (&str, &ImageDocuments),
        mut labels: BTreeMap<String, String>,
        progress: &mut dyn Progress,
    ) -> Result<Assembled, Error> {
        let refused =
            |error: ImageError| Error::unexpected(&name, ImageProblem::NoParent(error.to_string()));
        let below = ImageManifest::parse(&parent.manifest)
            .map_err(refused)?
            .layers;
        let config = ImageConfig::parse(&parent.config).map_err(refused)?;
        let variables = config.variables().map_err(refused)?;
        let spark_home = variables.get("SPARK_HOME").map(String::as_str);
        let spark = stage
            .elsewhere
            .as_ref()
            .and_then(|below| below.spark.as_ref());
        let jars = spark.map(|spark| spark.jars.as_str());
        let groups = self.groups((stage, inputs), (spark_home, jars), progress)?;
        let layers: Vec<LayerFile> = groups
            .iter()
            .map(|group| self.layer(stage, group, progress))
            .collect::<Result<_, Error>>()?;
        let mut env = BTreeMap::new();
        if !inputs.python_path.is_empty() {
            let parents = variables.get(PYTHON_PATH).map_or("", String::as_str);
            let of_spark = spark.map_or(&[][..], |spark| &spark.python_path);
            let value = python_path(&inputs.python_path, parents, of_spark);
            env.insert(PYTHON_PATH.to_owned(), value);
        }
        let added: Vec<Layer> = layers.iter().map(|file| file.layer.clone()).collect();
        let own = added.iter().map(|layer| layer.diff_id.clone());
        let diff_ids: Vec<Digest> = config.diff_ids.iter().cloned().chain(own).collect();
        labels.insert(LABEL_LAYERS.to_owned(), layers_label(&diff_ids));
        let changes = ConfigChanges {
            env,
            labels,
            ..ConfigChanges::default()
        };
        let image = assemble(parent.as_parent(), &added, &changes).map_err(refused)?;
        Error::check_platform(&name, &stage.platform, &image.info.platform)?;
        Ok(Assembled {
            image,
            below,
            layers,
        })
    }

    /// The layer of some files of a stage. They are read only if the cache does not have it.
    fn layer(
        &self,
        stage: &PlatformStage,
        group: &Group,
        progress: &mut dyn Progress,
    ) -> Result<LayerFile, Error> {
        let cache = &self.run.session.cache;
        let (key, created_by) = (group.key(), &group.created_by);
        layers::layer(cache, &key, created_by, |output| {
            if group.is_installed {
                self.contexts.packer.make_readable(stage, progress)?;
            }
            Ok(layer::write_layer(&group.entries, created_by, output)?)
        })
    }

    /// The files of each layer, what changes least first.
    fn groups(
        &self,
        (stage, inputs): (&PlatformStage, &FilesInputs),
        (spark_home, found_jars): (Option<&str>, Option<&str>),
        progress: &mut dyn Progress,
    ) -> Result<Vec<Group>, Error> {
        let folder = |what: &str| {
            let place = inputs.places.iter().find(|place| place.what == what);
            let folder = place.map(|place| place.folder_in(spark_home));
            folder.unwrap_or_default().trim_matches('/').to_owned()
        };
        let mut groups = Vec::new();
        // Spark's folder may be a link, which a folder of the same name would replace.
        let jars = found_jars.map_or_else(
            || folder("jars"),
            |found| found.trim_matches('/').to_owned(),
        );
        for jar in &inputs.jars {
            let entries = self.contexts.fetch(&jar.source, progress)?;
            groups.push(Group::below(&jars, "jars", entries));
        }
        let packages = folder("site-packages");
        if let Some(packed) = self.contexts.packer.pack_stage(stage, progress)? {
            groups.extend(by_package(&packages, packed.site_packages));
            groups.push(Group::below(&folder("libs.zip"), "libs.zip", [packed.libs]));
            let in_folder = folder("jobs");
            let code = packed.folder.into_iter();
            let code = code.map(|entry| entry.prefixed(&in_folder));
            let beside = packed.code.into_iter();
            let beside = beside.map(|entry| entry.prefixed(&folder("job")));
            groups.push(Group::below("", "code", beside.chain(code)));
        } else {
            let installed = self.contexts.packer.installed_packages(stage, progress)?;
            groups.extend(by_package(&packages, installed));
        }
        Ok(groups)
    }
}

/// A layer for each large package, and one for the others.
fn by_package(folder: &str, entries: Vec<Entry>) -> impl Iterator<Item = Group> {
    let groups = layering::by_package(entries).into_iter();
    groups.map(move |group| {
        let what = group.name.as_deref().unwrap_or("packages");
        Group {
            is_installed: true,
            ..Group::below(folder, what, group.entries)
        }
    })
}

impl Group {
    /// A digest of everything that decides the bytes of its layer.
    fn key(&self) -> Digest {
        let mut rows: Vec<String> = self.entries.iter().map(Entry::row).collect();
        rows.sort();
        // The number must change with the form of layers.
        Digest::of(format!("layer 2\n{}", rows.concat()).as_bytes())
    }

    fn below(folder: &str, what: &str, entries: impl IntoIterator<Item = Entry>) -> Self {
        let entries = entries.into_iter();
        Self {
            created_by: format!("sparkpack: {what}"),
            entries: entries.map(|entry| entry.prefixed(folder)).collect(),
            is_installed: false,
        }
    }
}

/// The variable's value: one's own items, then those of the parent, then those of a Spark that an image from elsewhere
/// has, each once. An empty item, which would be the folder that a program is started in, is left out.
fn python_path(own: &[&str], parents: &str, of_spark: &[String]) -> String {
    let mut items: Vec<&str> = Vec::new();
    let plain = |item: &str| item.trim_end_matches('/').to_owned();
    let of_spark = of_spark.iter().map(String::as_str);
    for item in own
        .iter()
        .copied()
        .chain(parents.split(':'))
        .chain(of_spark)
    {
        let is_new = !items.iter().any(|known| plain(known) == plain(item));
        if !item.is_empty() && is_new {
            items.push(item);
        }
    }
    items.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_own_items_come_first_and_each_is_there_once() {
        let spark = ["/s/python", "/s/python/lib/py4j-0.10.9.7-src.zip"].map(str::to_owned);
        for (own, parents, of_spark, expected) in [
            (vec!["/a", "/b"], "", &[][..], "/a:/b"),
            (vec!["/a"], "/b:/c", &[], "/a:/b:/c"),
            (vec!["/a", "/b"], "/b::/c:/a:/d", &[], "/a:/b:/c:/d"),
            (
                vec!["/a"],
                "/s/python/:/s/python/lib/py4j-*.zip:",
                &spark,
                "/a:/s/python/:/s/python/lib/py4j-*.zip:/s/python/lib/py4j-0.10.9.7-src.zip",
            ),
        ] {
            assert_eq!(python_path(&own, parents, of_spark), expected);
        }
    }
}
