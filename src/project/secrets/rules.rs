//! The rules by which something looks like a credential.

use std::fmt;

macro_rules! rules {
    ($($rule:ident $name:literal $what:literal)*) => {
        /// What a credential looks like.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SecretRule {
            $(#[doc = $what] $rule,)*
        }

        impl SecretRule {
            /// All rules, sorted by name.
            pub const ALL: &'static [Self] = &[$(Self::$rule),*];

            /// Its name in `sparkpack.toml` and in messages.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)*
                }
            }

            /// What it finds, in words.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$rule => $what,)*
                }
            }
        }
    };
}

rules! {
    AwsAccessKey "aws-access-key" "the ID of an access key of AWS"
    AwsSecretKey "aws-secret-key" "a secret access key of AWS or of another S3"
    AzureClientSecret "azure-client-secret" "the secret of an application in Azure"
    AzureStorageKey "azure-storage-key" "the key of a storage account or a service bus in Azure"
    BuildVariable "build-variable" "a password or a token as the value of a variable of a build"
    DatabricksToken "databricks-token" "a token of Databricks"
    DockerConfig "docker-config" "the password of a registry in a configuration of Docker"
    DockerHubToken "docker-hub-token" "a token of Docker Hub"
    EnvFile "env-file" "a file with the variables of an environment"
    GcpApiKey "gcp-api-key" "an API key of Google"
    GcpClientSecret "gcp-client-secret" "the secret of an OAuth client of Google"
    GcpServiceAccount "gcp-service-account" "the key of a service account of Google"
    GcpUserCredentials "gcp-user-credentials" "the credentials of a user of Google"
    GithubToken "github-token" "a token of GitHub"
    GitlabToken "gitlab-token" "a token of GitLab"
    HuggingFaceToken "hugging-face-token" "a token of Hugging Face"
    JavaKeystore "java-keystore" "a private key in a keystore of Java"
    Jwt "jwt" "a signed JSON web token"
    Kubeconfig "kubeconfig" "the credentials of a Kubernetes cluster"
    Netrc "netrc" "a password in a .netrc"
    NpmToken "npm-token" "a token of npm"
    OpenaiKey "openai-key" "an API key of the company behind GPT"
    Pgpass "pgpass" "a password in a .pgpass"
    Pkcs12 "pkcs12" "a private key in a PKCS#12 file"
    PrivateKey "private-key" "a private key"
    PypiToken "pypi-token" "a token of a Python package index"
    Pypirc "pypirc" "a password in a .pypirc"
    SlackToken "slack-token" "a token or a webhook of Slack"
    StripeKey "stripe-key" "a live key of Stripe"
    Unsearched "unsearched" "an archive or a packed file that cannot be searched"
    UrlPassword "url-password" "a password in a URL"
    VaultToken "vault-token" "a token of Vault"
}

impl SecretRule {
    /// The rule of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name() == name)
    }

    /// Whether it finds what anybody can make for a test: keys of one's own, and what is signed with them. Nobody issues
    /// those, so in the tests of a package they open nothing.
    #[must_use]
    pub fn is_self_made(self) -> bool {
        matches!(
            self,
            Self::PrivateKey | Self::Pkcs12 | Self::JavaKeystore | Self::Jwt
        )
    }
}

impl fmt::Display for SecretRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_lead_to_their_rules() {
        let names: Vec<&str> = SecretRule::ALL.iter().map(|rule| rule.name()).collect();
        assert!(names.is_sorted(), "{names:?}");
        for rule in SecretRule::ALL {
            assert_eq!(SecretRule::named(rule.name()), Some(*rule));
        }
        assert_eq!(SecretRule::named("*"), None);
    }
}
