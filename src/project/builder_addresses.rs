//! Reads `[builder]`.

use std::collections::BTreeMap;

use super::{
    builders::{BuilderAddress, BuilderEndpoint, BuilderTls, Builders},
    config::{BuilderPlatformTable, BuilderTable, Text},
    loader::Loader,
    place::{Defect, Place},
};
use crate::{
    code::Code,
    image::{Platform, Repository},
};

/// The environment variable that names a `BuildKit`, whatever the configuration says.
const VARIABLE: &str = "SPARKPACK_BUILDER";

/// Its value where the Docker daemon is to build.
const DOCKER: &str = "docker";

/// What tables say of a connection.
#[derive(Clone, Copy)]
struct Connecting<'a> {
    ca: Option<&'a Text>,
    certificate: Option<&'a Text>,
    key: Option<&'a Text>,
    insecure: bool,
}

impl Loader<'_> {
    /// The settings of `[builder]`.
    pub(super) fn builders(&self) -> Result<Option<Builders>, Defect> {
        let named = (self.environment)(VARIABLE).filter(|named| !named.is_empty());
        if named.as_deref() == Some(DOCKER) {
            return Ok(None);
        }
        let nothing = BuilderTable::default();
        let table = match &self.config.builder {
            Some(spanned) => spanned.get_ref(),
            None if named.is_some() => &nothing,
            None => return Ok(None),
        };
        let connecting = Connecting {
            ca: table.ca.as_ref(),
            certificate: table.certificate.as_ref(),
            key: table.key.as_ref(),
            insecure: table.insecure.unwrap_or(false),
        };
        if let Some(address) = named {
            // It stands for all platforms.
            let default = self.parsed_address(address, connecting, &|message| {
                let place = Place::of_line(self.origin.file, 1);
                Defect::new(
                    Code::E118,
                    place,
                    format!("the variable `{VARIABLE}`: {message}"),
                )
            })?;
            return Ok(Some(Builders {
                default: Some(default),
                platforms: BTreeMap::new(),
                cache: self.cache_repository(table)?,
            }));
        }
        let default = table.address.as_ref();
        let default = default.map(|text| self.builder_address(text, connecting));
        let platforms = table.platforms.iter().map(|(name, spanned)| {
            let of_platform = spanned.get_ref();
            let platform: Platform = name.parse().map_err(|error| {
                let message = format!("`builder.platforms`: {error}");
                self.origin
                    .defect(Code::E029, &of_platform.address, message)
            })?;
            let connecting = connecting.with(of_platform);
            Ok((
                platform,
                self.builder_address(&of_platform.address, connecting)?,
            ))
        });
        let builders = Builders {
            default: default.transpose()?,
            platforms: platforms.collect::<Result<_, Defect>>()?,
            cache: self.cache_repository(table)?,
        };
        if let Some(spanned) = &self.config.builder
            && builders.default.is_none()
            && builders.platforms.is_empty()
        {
            let message = "`[builder]` has no `address`";
            let defect = self.origin.defect(Code::E022, spanned, message);
            return Err(defect.hint("add one: `address = \"tcp://HOST:PORT\"` or `address = \"unix:///run/buildkit/buildkitd.sock\"`"));
        }
        Ok(Some(builders))
    }

    fn builder_address(
        &self,
        text: &Text,
        connecting: Connecting<'_>,
    ) -> Result<BuilderAddress, Defect> {
        let address = self.expanded(text)?;
        self.parsed_address(address, connecting, &|message| {
            self.origin.defect(Code::E118, text, message)
        })
    }

    fn parsed_address(
        &self,
        address: String,
        connecting: Connecting<'_>,
        defect: &dyn Fn(String) -> Defect,
    ) -> Result<BuilderAddress, Defect> {
        let refused = |message: String, hint: &str| defect(message).hint(hint.to_owned());
        let forms = "the forms are `unix:///PATH` and `tcp://HOST:PORT`";
        let tls = self.tls(connecting)?;
        let endpoint = if let Some(path) = address.strip_prefix("unix://") {
            if !path.starts_with('/') || tls.is_some() && connecting.insecure {
                return Err(refused(format!("`{address}` names no socket"), forms));
            }
            BuilderEndpoint::Unix(path.into())
        } else if let Some(host) = address.strip_prefix("tcp://") {
            let port = host.rsplit_once(':').map(|(_, port)| port);
            let has_port = port.is_some_and(|port| port.parse::<u16>().is_ok());
            if !has_port || host.contains(['/', '@', '?']) {
                return Err(refused(
                    format!("`{address}` is no host with a port"),
                    forms,
                ));
            }
            BuilderEndpoint::Tcp(host.to_owned())
        } else {
            return Err(refused(
                format!("`{address}` is no address of a BuildKit"),
                forms,
            ));
        };
        let is_open = tls.is_none() && !endpoint.is_local();
        if is_open && !connecting.insecure {
            let message = format!(
                "`{address}` is on another machine, and the connection would not be encrypted: who listens gets the secrets and credentials of builds"
            );
            return Err(refused(
                message,
                "name `ca`, `certificate` and `key`; in a network where only you listen: `insecure = true`",
            ));
        }
        let is_socket = matches!(endpoint, BuilderEndpoint::Unix(_));
        Ok(BuilderAddress {
            text: address,
            endpoint,
            tls: tls.filter(|_| !is_socket),
        })
    }

    fn tls(&self, connecting: Connecting<'_>) -> Result<Option<BuilderTls>, Defect> {
        let path = |text: Option<&Text>| {
            let path = text.map(|text| self.expanded(text)).transpose()?;
            Ok::<_, Defect>(path.map(|path| self.root.join(path)))
        };
        let ca = path(connecting.ca)?;
        let own = match (connecting.certificate, connecting.key) {
            (Some(certificate), Some(key)) => path(Some(certificate))?.zip(path(Some(key))?),
            (None, None) => None,
            (Some(text), None) | (None, Some(text)) => {
                let message = "`certificate` and `key` belong together, and one of them is missing";
                let defect = self.origin.defect(Code::E118, text, message);
                return Err(defect.hint("name both files, or none"));
            }
        };
        Ok((ca.is_some() || own.is_some()).then_some(BuilderTls { ca, own }))
    }

    fn cache_repository(&self, table: &BuilderTable) -> Result<Option<Repository>, Defect> {
        let Some(text) = &table.cache else {
            return Ok(None);
        };
        let repository = self.expanded(text)?.parse::<Repository>();
        let repository = repository.map_err(|error| {
            let defect = self.origin.defect(Code::E025, text, error.to_string());
            defect.hint("write a repository: `cache = \"registry.example/team/cache\"`")
        });
        repository.map(Some)
    }
}

impl<'a> Connecting<'a> {
    fn with(self, table: &'a BuilderPlatformTable) -> Self {
        Self {
            ca: table.ca.as_ref().or(self.ca),
            certificate: table.certificate.as_ref().or(self.certificate),
            key: table.key.as_ref().or(self.key),
            insecure: table.insecure.unwrap_or(self.insecure),
        }
    }
}
