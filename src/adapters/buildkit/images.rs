//! A store in the place of a Docker daemon: what operations ask for of one.

use std::{collections::BTreeMap, path::Path};

use serde_json::json;

use super::{
    error::BuildKitError,
    solve::BuildKitBuilder,
    store::{BuildKitStore, KnownImage, odd},
};
use crate::{
    adapters::{
        builder::Builder,
        destination::{DestinationError, ImageDaemon, Programs as _, StoredImage, StoredLayer},
        docker::{
            ExportedImage, JobContainer, JobEnd, JobStreams, LoadRequest, PrintedLine, ProgramEnd,
            ProgramInImage, TransferEvent, WantedLayers,
        },
        ending::{self, OnEnd},
        store::TemporaryFolder,
    },
    image::{
        AssembledImage, Digest, ImageConfig, ImageDocuments, ImageInfo, ImageManifest,
        ImageMismatch, LayerContents, LayerFile, LayerScanner, MediaType, Platform, Reference,
        oci_image,
    },
    package::layer::write_layer,
    project::tree::Entry,
};

impl ImageDaemon for BuildKitStore {
    fn platform(&self) -> Result<Platform, DestinationError> {
        let default = Platform::default();
        let connection = self.connection(&default)?;
        Ok(connection.platforms.first().cloned().unwrap_or(default))
    }

    fn builder(&self, platform: &Platform) -> Result<Box<dyn Builder + '_>, DestinationError> {
        let connection = self.connection(platform)?;
        Ok(Box::new(BuildKitBuilder {
            store: self,
            connection,
        }))
    }

    fn require_platform(&self, platform: &Platform, runs: bool) -> Result<(), DestinationError> {
        let connection = self.connection(platform)?;
        if runs {
            connection.require(platform)?;
        }
        Ok(())
    }

    fn stored(&self, id: &Digest) -> Result<Option<StoredImage>, DestinationError> {
        let Some(known) = self.look_up(id.as_str(), None)? else {
            return Ok(None);
        };
        let layers = self.layers(&known)?;
        let image = known.image;
        Ok(Some(StoredImage { image, layers }))
    }

    fn inspect(&self, name: &str) -> Result<Option<ImageInfo>, DestinationError> {
        Ok(self.look_up(name, None)?.map(|known| known.image.info))
    }

    fn import(
        &self,
        entries: &[Entry],
        labels: &BTreeMap<String, String>,
        platform: &Platform,
        reference: &Reference,
    ) -> Result<ImageInfo, DestinationError> {
        let failed = |error| BuildKitError::Archive {
            reference: Box::new(reference.clone()),
            error,
        };
        let made = || {
            let folder = TemporaryFolder::new()?;
            let file = folder.path().join("layer");
            let layer = write_layer(entries, "", fs_err::File::create(&file)?)?;
            Ok((folder, LayerFile::there(layer, file)))
        };
        let (_folder, file) = made().map_err(failed)?;
        let mut config = json!({
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {"Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [file.layer.diff_id]},
        });
        if let Some(variant) = &platform.variant {
            config["variant"] = json!(variant);
        }
        let layers = [file.layer.descriptor.clone()];
        let name = reference.to_string();
        let image = oci_image(config.to_string().as_bytes(), &layers).map_err(odd(&name))?;
        let descriptor = self.settings.layout.add(&image, &[file])?;
        self.settings.layout.tag(&name, &descriptor)?;
        let known = KnownImage {
            image,
            elsewhere: BTreeMap::new(),
            pinned: None,
        };
        Ok(self.keep(&name, known))
    }

    fn parent(&self, name: &str) -> Result<Option<ImageDocuments>, DestinationError> {
        Ok(self
            .look_up(name, None)?
            .map(|known| known.image.documents()))
    }

    fn export(
        &self,
        name: &str,
        is_wanted: &WantedLayers<'_>,
        folder: &Path,
    ) -> Result<Option<ExportedImage>, DestinationError> {
        let Some(known) = self.look_up(name, None)? else {
            return Ok(None);
        };
        let layers = self.layers(&known)?.into_iter().filter(|layer| {
            let (StoredLayer::File(LayerFile { layer, .. }) | StoredLayer::Repository(layer, _)) =
                layer;
            is_wanted(&layer.descriptor, &layer.diff_id)
        });
        let layers = layers.map(|layer| self.fetched(layer, folder));
        Ok(Some(ExportedImage {
            layers: layers.collect::<Result<_, _>>()?,
            documents: known.image.documents(),
            config: None,
        }))
    }

    /// It is asked about images that only a daemon has, and no such image is here.
    fn scan(&self, _: &ImageInfo, _: &LayerScanner) -> Result<LayerContents, DestinationError> {
        Err(BuildKitError::OnlyBuilds("look into an image of a daemon").into())
    }

    fn run_program(
        &self,
        _: &ProgramInImage<'_>,
        _: &mut dyn FnMut(PrintedLine<'_>),
    ) -> Result<ProgramEnd, DestinationError> {
        Err(BuildKitError::OnlyBuilds("run a program in an image").into())
    }

    fn run_job(&self, _: &JobContainer<'_>, _: JobStreams<'_>) -> Result<JobEnd, DestinationError> {
        Err(BuildKitError::OnlyBuilds("run a job").into())
    }

    fn load(&self, request: &LoadRequest<'_>) -> Result<ImageInfo, DestinationError> {
        let parent = match &request.parent {
            Some(parent) => self.look_up(parent.name, None)?,
            None => None,
        };
        let name = request.reference.to_string();
        let elsewhere = parent.map(|parent| parent.elsewhere).unwrap_or_default();
        self.settings.layout.add_layers(request.layers)?;
        let known = KnownImage {
            image: request.image.clone(),
            elsewhere,
            pinned: None,
        };
        let info = self.keep(&name, known);
        if self.has_layers(&info) {
            let descriptor = self.settings.layout.add(request.image, &[])?;
            self.settings.layout.tag(&name, &descriptor)?;
        }
        Ok(info)
    }

    fn push(
        &self,
        _: &Reference,
        _: &str,
        _: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DestinationError> {
        Err(BuildKitError::OnlyBuilds("push an image").into())
    }

    /// Gets the documents; the layers stay where they are.
    fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        _: &str,
        _: &mut dyn FnMut(TransferEvent),
    ) -> Result<(), DestinationError> {
        let documents = self.registry()?.documents(reference, platform)?;
        let gone = || BuildKitError::Gone(Box::new(reference.clone()));
        let ImageDocuments { manifest, config } = documents.ok_or_else(gone)?;
        let name = reference.to_string();
        let parsed = ImageManifest::parse(&manifest).map_err(odd(&name))?;
        let info = ImageConfig::parse(&config).and_then(|config| config.info(&parsed));
        let info = info.map_err(odd(&name))?;
        ImageMismatch::of_platform(&info, platform, reference).map_err(BuildKitError::from)?;
        let repository = &reference.repository;
        let layers = parsed.layers.iter();
        let layers = layers.map(|layer| (layer.digest.clone(), repository.clone()));
        let media_type = parsed.media_type.clone();
        let digest = Digest::of(&manifest);
        let known = KnownImage {
            elsewhere: layers.collect(),
            pinned: Some(repository.with_digest(&digest)),
            image: AssembledImage {
                digest,
                media_type: media_type.unwrap_or(MediaType::ImageManifest),
                manifest,
                config,
                info,
            },
        };
        self.keep(&name, known);
        Ok(())
    }

    fn untag(&self, reference: &Reference) -> Result<(), DestinationError> {
        let name = reference.to_string();
        self.known().by_name.remove(&name);
        Ok(self.settings.layout.untag(&name)?)
    }

    fn untag_on_end(&self, reference: &Reference) -> OnEnd {
        let (layout, name) = (self.settings.layout.clone(), reference.to_string());
        // There is nobody left to tell about an error.
        ending::on_end(move || drop(layout.untag(&name)))
    }
}
