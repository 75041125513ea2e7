//! What the extras of `PySpark` in some requirements bring: the index has no wheel that tells.

use crate::{
    adapters::sources::SparkExtras,
    code::Code,
    error::Error,
    image::Digest,
    operations::{
        events::{Outcome, Step, Transfer},
        workspace::{Services, Session},
    },
    project::{
        Chain, Image,
        lock::Lock,
        place::{Defect, nearest},
        requirements::{Requirement, Requirements, SPARKS_OWN},
        source::{Origin, Source, Unpack},
    },
};

/// What the extras bring that the requirements name, as values of `Requires-Dist`. The source of the chain's Spark tells it;
/// of an image from elsewhere that of `PySpark` on the index.
pub(super) fn spark_extras(
    session: &Session<'_>,
    services: &Services<'_>,
    lock: &Lock,
    image: &Image,
    requirements: &Requirements,
) -> Result<Vec<String>, Error> {
    let mut wanted = requirements.wanted.iter();
    let wanted = wanted.find(|wanted| wanted.name == SPARKS_OWN[0] && !wanted.extras.is_empty());
    let (Some(wanted), Some(version)) = (wanted, lock.spark_of(&session.project, image)) else {
        return Ok(Vec::new());
    };
    let made = session.project.chain_of(image).and_then(Chain::made);
    let made = made.and_then(|made| session.project.sources.get(&made.spark_source));
    let source = made.cloned().unwrap_or_else(|| Source {
        name: SPARKS_OWN[0].to_owned(),
        origin: Origin::PythonSdist {
            name: SPARKS_OWN[0].to_owned(),
            version: version.clone(),
        },
        sha256: None,
        unpack: Unpack::Spark,
    });
    let extras = read(session, services, lock, &source)?;
    lines(&extras, wanted, &version, &source)
}

fn read(
    session: &Session<'_>,
    services: &Services<'_>,
    lock: &Lock,
    source: &Source,
) -> Result<SparkExtras, Error> {
    let key = source.origin.to_string();
    let locked = lock.sources.get(&key).map(|locked| &locked.sha256);
    let expected: Option<&Digest> = source.sha256.as_ref().or(locked);
    let mut progress = session.events.begin(&source.name);
    progress.step(Step::Fetch(&key));
    let extras = services
        .fetcher()
        .spark_extras(source, expected, &mut |done, total| {
            progress.moved(Transfer::Fetched, done, total);
        })?;
    progress.end(Outcome::Fetched(&key));
    Ok(extras)
}

/// The lines for the extras that are wanted.
fn lines(
    extras: &SparkExtras,
    wanted: &Requirement,
    version: &str,
    source: &Source,
) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for name in &wanted.extras {
        let Some(brought) = extras.get(name) else {
            let known: Vec<&str> = extras.keys().map(String::as_str).collect();
            let message = if known.is_empty() {
                format!(
                    "what the extra `{name}` of pyspark brings is not known: nothing in {} tells",
                    source.origin
                )
            } else {
                let known = known.join(", ");
                format!("pyspark {version} has no extra `{name}`; it has {known}")
            };
            let hint = nearest(name, known).map_or_else(
                || {
                    format!(
                        "take `{name}` away, and write what you need of it as lines of their own"
                    )
                },
                |near| format!("did you mean `{near}`?"),
            );
            return Err(Defect::new(Code::E180, wanted.place.clone(), message)
                .hint(hint)
                .into());
        };
        let marked = |requirement: &String| format!("{requirement}; extra == \"{name}\"");
        lines.extend(brought.iter().map(marked));
    }
    Ok(lines)
}
