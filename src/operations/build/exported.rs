//! The images of a daemon as an OCI layout holds them: their layers are compressed, each once.

use super::run::Run;
use crate::{
    adapters::{cache::CacheKind, layers},
    error::{Error, ImageProblem, NotYet},
    image::{AssembledImage, Digest, LayerFile, oci_image},
    operations::dist::BuiltImage,
    package::{archive::ArchiveError, layer},
};

impl Run<'_> {
    /// The image of the stage `name` in the daemon, with the same config, and all of its layers.
    pub(crate) fn exported(
        &self,
        name: &str,
        made: &BuiltImage,
    ) -> Result<(AssembledImage, Vec<LayerFile>), Error> {
        let folder = self.session.cache.unfinished(CacheKind::Blobs)?;
        let daemon = self.services.daemon()?;
        let exported = daemon.export(made.info.id.as_str(), folder.path())?;
        let exported = exported.ok_or_else(|| NotYet::DaemonToLayout {
            image: name.to_owned(),
        })?;
        let layers = exported.layers.iter().map(|LayerFile { layer, file, .. }| {
            let key = format!("layer of a daemon 1\n{}", layer.diff_id);
            let key = Digest::of(key.as_bytes());
            layers::layer(&self.session.cache, &key, "", |output| {
                layer::compress(fs_err::File::open(file)?, output)
            })
        });
        let layers: Vec<LayerFile> = layers.collect::<Result<_, ArchiveError>>()?;
        let config = exported.config.as_ref();
        let config = config.unwrap_or(&exported.documents.config);
        let descriptors = layers.iter().map(|file| file.layer.descriptor.clone());
        let descriptors: Vec<_> = descriptors.collect();
        let image = oci_image(config, &descriptors);
        let image = image.map_err(|error| {
            Error::unexpected(&made.reference, ImageProblem::NoLayout(error.to_string()))
        })?;
        Ok((image, layers))
    }
}
