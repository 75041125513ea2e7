//! `sparkpack verify`: makes the image of a tag again, and compares it with the registry's.

use crate::{
    cli::VerifyArguments,
    error::Error,
    operations::{
        publish::{self, ImageTag, Reproduced},
        workspace::Session,
    },
    ui::Ui,
};

pub(super) fn run(
    session: &Session<'_>,
    ui: &Ui,
    arguments: &VerifyArguments,
) -> Result<(), Error> {
    let (image, tag) = match arguments.image.split_once(':') {
        Some((image, tag)) => (image, Some(tag)),
        None => (&*arguments.image, None),
    };
    let image = &session.targets(&[image.to_owned()])?[0];
    let registry = session.registry(arguments.registry.registry.as_deref())?;
    for reproduced in publish::reproduce(session, registry, ImageTag { image, tag })? {
        match reproduced {
            Reproduced::Same { title, reference } => {
                ui.say(format!("{title}: made again, with the same bytes"));
                ui.data(&reference)?;
            }
            Reproduced::FromDockerfile { title } => ui.say(format!(
                "{title}: a Dockerfile makes other bytes each time, so it is not made again; its label has the fingerprint of \
                 its checkout"
            )),
        }
    }
    Ok(())
}
