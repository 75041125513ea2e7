//! The documents of an image in the daemon, to assemble another one on it.
//!
//! A daemon hands out a config only within an export of the whole image: 20.10 writes it to its disk before the first
//! byte is sent, which takes 4 s for 850 MB. So the config is made from the answer to an inspection. It has other bytes
//! than the image's own, and what containers are started with is the same. The containerd store of newer daemons has the
//! documents themselves, and lets them be read.

use bollard::models::{BollardDate, ImageInspect};
use serde_json::{Value, json};

use super::{
    blobs::Blobs,
    daemon::{Daemon, info},
    error::DockerError,
};
use crate::image::{
    Compression, Descriptor, Digest, Family, ImageDocuments, ImageError, ImageInfo, ImageManifest,
    ManifestOrIndex,
};

/// The size of the smallest tar: two empty blocks.
const SMALLEST: u64 = 1024;

impl Daemon {
    /// Documents for the image `name`, a reference or an image ID; `None` if the daemon has none of that name.
    ///
    /// Those of the containerd store are the image's own. From others, an image that is assembled on the documents can
    /// be loaded into this daemon, and into no other place: a registry would need the compressed layers of the manifest.
    /// Here the layers are uncompressed tars, so that their digests are the diff IDs. A daemon does not tell the sizes of
    /// the tars: the lowest layer has the size of all files together, and the others that of an empty tar.
    ///
    /// # Errors
    /// The daemon does not answer, or not with an image.
    pub fn parent(&self, name: &str) -> Result<Option<ImageDocuments>, DockerError> {
        let read = |answer: ImageInspect| Ok((info(answer.clone())?, answer));
        let Some((info, answer)) = self.inspected(name, read)? else {
            return Ok(None);
        };
        let found = match self.blobs()? {
            Some(blobs) => self.runtime.block_on(stored(blobs, &info)),
            None => documents(answer).map_err(|message| DockerError::Answer {
                doing: format!("read the documents of `{name}`"),
                message,
            }),
        };
        found.map(Some)
    }
}

/// The documents of an image in the containerd store, whose image ID is the digest of its manifest or index.
async fn stored(blobs: &Blobs, image: &ImageInfo) -> Result<ImageDocuments, DockerError> {
    let failed = |message: String| DockerError::Answer {
        doing: format!("read the documents of `{}`", image.id),
        message,
    };
    let odd = |error: ImageError| failed(error.to_string());
    let document = async |digest: &Digest| {
        let found = blobs.document(digest).await?;
        found.ok_or_else(|| failed(format!("it has no `{digest}`")))
    };
    let mut manifest = document(&image.id).await?;
    let parsed = match ManifestOrIndex::parse(&manifest).map_err(odd)? {
        ManifestOrIndex::Manifest(parsed) => parsed,
        ManifestOrIndex::Index(index) => {
            let chosen = index.choose(&image.platform).map_err(odd)?;
            manifest = document(&chosen.digest).await?;
            ImageManifest::parse(&manifest).map_err(odd)?
        }
    };
    let config = document(&parsed.config.digest).await?;
    Ok(ImageDocuments { manifest, config })
}

fn documents(answer: ImageInspect) -> Result<ImageDocuments, String> {
    let size = answer.size.and_then(|size| u64::try_from(size).ok());
    let root = answer.root_fs.and_then(|root| root.layers);
    let diff_ids: Vec<Digest> = root
        .unwrap_or_default()
        .iter()
        .map(|layer| layer.parse().map_err(|error| format!("a layer: {error}")))
        .collect::<Result<_, _>>()?;
    let mut config = json!({
        "architecture": answer.architecture,
        "os": answer.os,
        "variant": answer.variant,
        "os.version": answer.os_version,
        "author": answer.author,
        "created": answer.created.as_ref().map(time),
        "config": answer.config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    if let Some(fields) = config.as_object_mut() {
        fields.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
    }
    let config = config.to_string().into_bytes();
    let family = Family::Docker;
    let media_type = family.layer(&Compression::None.media_type());
    let media_type = media_type.map_err(|error| error.to_string())?;
    let layers = diff_ids
        .into_iter()
        .enumerate()
        .map(|(at, digest)| Descriptor {
            media_type: media_type.clone(),
            digest,
            size: match at {
                0 => size.unwrap_or_default().max(SMALLEST),
                _ => SMALLEST,
            },
            platform: None,
        });
    let manifest: Value = json!({
        "schemaVersion": 2,
        "mediaType": family.manifest(),
        "config": Descriptor::of(family.config(), &config),
        "layers": layers.collect::<Vec<_>>(),
    });
    Ok(ImageDocuments {
        manifest: manifest.to_string().into_bytes(),
        config,
    })
}

/// A time as configs have it.
fn time(time: &BollardDate) -> String {
    let fraction = format!(".{:09}", time.nanosecond());
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let (hours, minutes, _) = time.offset().as_hms();
    let offset = match (hours, minutes) {
        (0, 0) => "Z".to_owned(),
        (0, ..0) => format!("-00:{:02}", minutes.abs()),
        _ => format!("{hours:+03}:{:02}", minutes.abs()),
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{fraction}{offset}",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
    )
}
