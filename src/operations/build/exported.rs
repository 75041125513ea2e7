//! The images of a daemon as an OCI layout holds them: their layers are compressed, each once.

use std::cell::OnceCell;

use super::run::Run;
use crate::{
    adapters::{cache::CacheKind, docker::ExportedImage, layers, store::TemporaryFolder},
    error::{Error, ImageProblem, NotYet},
    image::{AssembledImage, Digest, ImageInfo, LayerFile, oci_image},
    operations::dist::BuiltImage,
    package::layer,
};

/// An image that the daemon has exported, with the folder of its layers.
struct Export {
    image: ExportedImage,
    _folder: TemporaryFolder,
}

impl Run<'_> {
    /// The image of the stage `name` in the daemon, with the same config, and all of its layers.
    pub(crate) fn exported(
        &self,
        name: &str,
        made: &BuiltImage,
    ) -> Result<(AssembledImage, Vec<LayerFile>), Error> {
        let info = &made.info;
        let export = OnceCell::new();
        let export = || {
            if let Some(export) = export.get() {
                return Ok(export);
            }
            let exported = self.export(name, info)?;
            Ok::<&Export, Error>(export.get_or_init(|| exported))
        };
        let layers = info.diff_ids.iter().enumerate().map(|(number, diff_id)| {
            let key = Digest::of(format!("layer of a daemon 1\n{diff_id}").as_bytes());
            let known = layers::known(&self.session.cache, &key, "");
            if let Some(known) = known {
                return Ok(known);
            }
            let tar = &export()?.image.layers[number].file;
            let tar = fs_err::File::open(tar)?;
            Ok(layers::layer(&self.session.cache, &key, "", |output| {
                layer::compress(tar, output)
            })?)
        });
        let layers: Vec<LayerFile> = layers.collect::<Result<_, Error>>()?;
        let exported = &export()?.image;
        let config = exported.config.as_ref();
        let config = config.unwrap_or(&exported.documents.config);
        let descriptors = layers.iter().map(|file| file.layer.descriptor.clone());
        let descriptors: Vec<_> = descriptors.collect();
        let image = oci_image(config, &descriptors);
        let image = image.map_err(|error| Error::UnexpectedImage {
            reference: made.reference.to_string(),
            problem: ImageProblem::NoLayout(error.to_string()),
        })?;
        Ok((image, layers))
    }

    fn export(&self, name: &str, info: &ImageInfo) -> Result<Export, Error> {
        let folder = self.session.cache.unfinished(CacheKind::Blobs)?;
        let daemon = self.services.daemon()?;
        let image = daemon.export(info.id.as_str(), folder.path())?;
        let image = image.ok_or_else(|| NotYet::DaemonToLayout {
            image: name.to_owned(),
        })?;
        Ok(Export {
            image,
            _folder: folder,
        })
    }
}
