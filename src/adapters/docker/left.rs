//! What killed runs have left in the daemon: containers, images for one use, and the tags that images have while they are
//! pushed. Each says in a label which run made it, so that nothing of a living run is taken.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bollard::{
    Docker,
    models::ContainerCreateBody,
    query_parameters::{
        ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
    },
};

use tokio::time::timeout;

use super::{daemon::Daemon, running::remove};
use crate::{
    adapters::machine,
    image::{Digest, LABEL_FINGERPRINT, Reference},
};

/// The label with the run that made a container, or an image for one use.
const LABEL_RUN: &str = "dev.sparkpack.run";

/// How many digits of an image ID a staging tag ends with.
pub const STAGING_DIGITS: usize = 12;

/// The label of this run, if the kernel tells what distinguishes it.
#[must_use]
pub fn this_run() -> BTreeMap<String, String> {
    let run = machine::this_run();
    run.map(|run| (LABEL_RUN.to_owned(), run))
        .into_iter()
        .collect()
}

/// Says in a container which run makes it.
pub(super) fn of_this_run(body: ContainerCreateBody) -> ContainerCreateBody {
    let mut labels = body.labels.unwrap_or_default();
    labels.extend(this_run());
    ContainerCreateBody {
        labels: Some(labels),
        ..body
    }
}

async fn remove_left(client: Docker, patience: Duration) {
    let of_runs = HashMap::from([("label", vec![LABEL_RUN])]);
    let options = ListContainersOptionsBuilder::default().all(true);
    let options = options.filters(&of_runs).build();
    let listed = timeout(patience, client.list_containers(Some(options)));
    let containers = listed.await.into_iter().flatten().flatten();
    for container in containers {
        if let Some(id) = container.id.filter(|_| is_left(container.labels.as_ref())) {
            drop(timeout(patience, remove(&client, &id)).await);
        }
    }
}

fn is_left(labels: Option<&HashMap<String, String>>) -> bool {
    let run = labels.and_then(|labels| labels.get(LABEL_RUN));
    run.is_some_and(|run| machine::has_ended(run))
}

/// The tag that an image has while it is pushed; it contains the image ID, so that different images have different ones.
#[must_use]
pub fn staging_tag(reference: &Reference, id: &Digest) -> Reference {
    reference.with_suffix(id.short(STAGING_DIGITS))
}

impl Daemon {
    /// Begins to remove the containers that killed runs of this machine have left, beside all else that the daemon is asked
    /// for. What cannot be removed stays: nothing depends on that.
    pub fn begin_removing_left_containers(&self) {
        self.removing.get_or_init(|| {
            let work = remove_left(self.client.clone(), self.patience);
            self.runtime.begin(work)
        });
    }

    /// Removes the images for one use that killed runs have left, and the tags of their pushes: a push that goes on sets its
    /// own again. The daemon takes seconds to list many images.
    pub fn remove_left_images(&self) {
        let options = ListImagesOptionsBuilder::default().build();
        let images = self.ask(self.client.list_images(Some(options)));
        for image in images.into_iter().flatten() {
            let Ok(id) = image.id.parse::<Digest>() else {
                continue;
            };
            let is_own = image.labels.contains_key(LABEL_FINGERPRINT);
            let is_for_one_use = is_left(Some(&image.labels));
            let end = format!("-{}", id.short(STAGING_DIGITS));
            let is_tag_left = |tag: &&String| is_for_one_use || is_own && tag.ends_with(&end);
            self.remove_tags(image.repo_tags.iter().filter(is_tag_left));
        }
    }

    fn remove_tags<'t>(&self, tags: impl Iterator<Item = &'t String>) {
        for tag in tags {
            let options = RemoveImageOptionsBuilder::default().noprune(true).build();
            drop(self.ask(self.client.remove_image(tag, Some(options), None)));
        }
    }
}
