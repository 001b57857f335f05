//! Where Bedrock is and in whose name it is called.

use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::timeout::TimeoutConfig;
use aws_sdk_bedrockruntime::config::{SharedHttpClient, StalledStreamProtectionConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider as Tls, TlsContext, TrustStore};

/// How to reach Bedrock. What is absent is looked for where AWS's own tools
/// look for it: in the environment, in the profile, in the machine's metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BedrockConfig {
    /// Such as `eu-west-1`.
    pub region: Option<String>,
    /// Instead of the region's public endpoint.
    pub endpoint_url: Option<String>,
    /// A profile of AWS's configuration files.
    pub profile: Option<String>,
    /// A role to take on, with the credentials that were found.
    pub role_arn: Option<String>,
    /// The bound on an answer where the caller sets none.
    pub default_max_tokens: Option<u64>,
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BedrockConfigError {
    /// Not an absolute `http` or `https` URL.
    #[error("endpoint_url must be an absolute http or https URL")]
    EndpointUrl,
    /// Not the name of a region.
    #[error("region must be a name such as eu-west-1")]
    Region,
    /// Not the ARN of a role.
    #[error("role_arn must be an ARN such as arn:aws:iam::123456789012:role/name")]
    RoleArn,
    /// A bound of nothing.
    #[error("default_max_tokens must be at least 1 and at most 2147483647")]
    DefaultMaxTokens,
}

impl BedrockConfig {
    pub(super) fn check(&self) -> Result<(), BedrockConfigError> {
        let url = self.endpoint_url.as_deref();
        if !url.is_none_or(is_http_url) {
            return Err(BedrockConfigError::EndpointUrl);
        }
        if !self.region.as_deref().is_none_or(is_region) {
            return Err(BedrockConfigError::Region);
        }
        let role = self.role_arn.as_deref();
        if !role.is_none_or(|arn| arn.starts_with("arn:") && arn.contains(":role/")) {
            return Err(BedrockConfigError::RoleArn);
        }
        let tokens = 1..=i32::MAX as u64;
        if !self
            .default_max_tokens
            .is_none_or(|it| tokens.contains(&it))
        {
            return Err(BedrockConfigError::DefaultMaxTokens);
        }
        Ok(())
    }
}

fn is_http_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<::http::Uri>() else {
        return false;
    };
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
}

fn is_region(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(letter)
}

/// The engine bounds every call as a whole; only a connection that does not
/// come about is given up here.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What AWS's own chain finds: environment, profile, web identity, containers,
/// machine. Without a region the SDK cannot say where to call.
pub(super) async fn load(config: &BedrockConfig) -> SdkConfig {
    let found = loader(config).load().await;
    let Some(role) = &config.role_arn else {
        return found;
    };
    let role = AssumeRoleProvider::builder(role).session_name("tidegate");
    let role = role.configure(&found).build().await;
    let role = aws_sdk_bedrockruntime::config::SharedCredentialsProvider::new(role);
    found.into_builder().credentials_provider(role).build()
}

fn loader(config: &BedrockConfig) -> ConfigLoader {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .build(),
        );
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    loader
}

/// A client that calls once and waits as long as it is let. Whether and when a
/// call is made again, and how long a stream may be silent, is the engine's to
/// decide.
pub(super) fn client(config: &BedrockConfig, found: &SdkConfig) -> Client {
    let mut builder = aws_sdk_bedrockruntime::config::Builder::from(found)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(url) = &config.endpoint_url {
        builder = builder.endpoint_url(url);
    }
    Client::from_conf(builder.build())
}

/// The TLS that every other upstream is called with, not a second one.
pub(super) fn http_client() -> SharedHttpClient {
    let tls = TlsContext::builder().with_trust_store(trust()).build();
    let tls = tls.expect("a trust store without certificates of ours is valid");
    Builder::new()
        .tls_provider(Tls::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .build_https()
}

/// The system's certificates. A system without any can still call an endpoint
/// that speaks no TLS; the SDK would take it for a mistake.
fn trust() -> TrustStore {
    let native = rustls_native_certs::load_native_certs();
    TrustStore::empty().with_native_roots(!native.certs.is_empty())
}
