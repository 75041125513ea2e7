//! Layers in the cache: the compressed bytes by their digest, and what is known of them by what they are made from.
//!
//! A layer that is known is not made again, and not even read. Whoever sends it hashes it, so that damage is noticed
//! there; what is not whole here is a miss.

use std::{
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    cache::{Cache, CacheKind},
    digest_cache, store,
};
use crate::image::{Digest, Layer, LayerFile};

/// What the cache knows of a layer.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KnownLayer {
    digest: Digest,
    size: u64,
    diff_id: Digest,
}

/// The layer of a key, which is a digest of everything that decides its bytes. It is made only if the cache does not
/// have it whole.
///
/// # Errors
/// Those of `make`, or the cache cannot be written.
pub fn layer<E: From<io::Error>>(
    cache: &Cache,
    key: &Digest,
    created_by: &str,
    make: impl FnOnce(&mut dyn Write) -> Result<Layer, E>,
) -> Result<LayerFile, E> {
    if let Some(found) = known(cache, key, created_by) {
        return Ok(found);
    }
    let document = cache.entry(CacheKind::Layers, key.hex());
    let temporary = cache.unfinished(CacheKind::Blobs)?;
    let unfinished = temporary.path().join("layer");
    let mut output = io::BufWriter::new(fs_err::File::create(&unfinished)?);
    let layer = make(&mut output)?;
    output.flush()?;
    drop(output);
    let file = cache.entry(CacheKind::Blobs, layer.descriptor.digest.hex());
    fs_err::rename(&unfinished, &file)?;
    let known = KnownLayer {
        digest: layer.descriptor.digest.clone(),
        size: layer.descriptor.size,
        diff_id: layer.diff_id.clone(),
    };
    let text = serde_json::to_vec(&known).map_err(io::Error::other)?;
    fs_err::create_dir_all(cache.folder(CacheKind::Layers))?;
    store::replace_unsynced(&document, &text)?;
    Ok(LayerFile {
        layer,
        file,
        is_new: true,
    })
}

/// The layer of a key, if the cache has it whole.
#[must_use]
pub fn known(cache: &Cache, key: &Digest, created_by: &str) -> Option<LayerFile> {
    let document = cache.entry(CacheKind::Layers, key.hex());
    let bytes = digest_cache::own_bytes(&document)?;
    let known: KnownLayer = serde_json::from_slice(&bytes).ok()?;
    found(cache, known, created_by)
}

/// The layer that is known, if its bytes are there and as many as they should be.
fn found(cache: &Cache, known: KnownLayer, created_by: &str) -> Option<LayerFile> {
    let file = cache.entry(CacheKind::Blobs, known.digest.hex());
    let layer = Layer::gzip(known.digest, known.size, known.diff_id, created_by);
    is_whole(&file, layer.descriptor.size).then(|| LayerFile::there(layer, file))
}

/// Whether a blob is in the cache, judged by its size: whoever reads it compares its bytes with the digest.
#[must_use]
pub fn is_whole(file: &Path, size: u64) -> bool {
    let there = fs_err::symlink_metadata(file);
    there.is_ok_and(|there| there.is_file() && there.len() == size)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::{package::layer::write_layer, project::tree::Entry};

    const CREATED_BY: &str = "sparkpack: code";

    /// Asks for the layer of a key; the second value tells whether it was made.
    fn ask(cache: &Cache, key: &str, text: &str) -> (LayerFile, bool) {
        let made = Cell::new(false);
        let entries = [Entry::in_memory("opt/job/main.py", text, false)];
        let key = Digest::of(key.as_bytes());
        let found = layer(cache, &key, CREATED_BY, |output| {
            made.set(true);
            write_layer(&entries, CREATED_BY, output)
        });
        let found = found.unwrap();
        let bytes = fs_err::read(&found.file).unwrap();
        found.layer.check(&bytes[..]).unwrap();
        assert_eq!(found.is_new, made.get());
        let is_new = false;
        (LayerFile { is_new, ..found }, made.get())
    }

    #[test]
    fn a_layer_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let (first, made) = ask(&cache, "a", "x = 1\n");
        assert!(made);
        let (second, made) = ask(&cache, "a", "x = 1\n");
        assert!(!made, "it is known");
        assert_eq!(first, second);
        let (other, made) = ask(&cache, "b", "x = 2\n");
        assert!(made && other.layer.diff_id != first.layer.diff_id);
    }

    #[test]
    fn what_is_damaged_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let (first, _) = ask(&cache, "a", "x = 1\n");
        let document = cache.entry(CacheKind::Layers, Digest::of(b"a").hex());
        let bytes = fs_err::read(&first.file).unwrap();
        let whole = fs_err::read(&document).unwrap();
        let damages: [&dyn Fn(); 6] = [
            &|| fs_err::remove_file(&first.file).unwrap(),
            &|| fs_err::write(&first.file, &bytes[..bytes.len() / 2]).unwrap(),
            &|| fs_err::write(&first.file, b"").unwrap(),
            &|| fs_err::remove_file(&document).unwrap(),
            &|| fs_err::write(&document, &whole[..whole.len() / 2]).unwrap(),
            &|| fs_err::write(&document, b"{\"digest\": 1}").unwrap(),
        ];
        for (number, damage) in damages.into_iter().enumerate() {
            damage();
            let (again, made) = ask(&cache, "a", "x = 1\n");
            assert!(made, "damage {number} is a miss");
            assert_eq!(again, first);
        }
    }
}
