//! Who answers behind the names of providers.

use std::collections::HashMap;

use http::Uri;

use super::names::well_known;

/// What spans say of the providers of one revision of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upstreams(HashMap<String, Upstream>);

/// One provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Upstream {
    /// The conventions' word for it, where they have one.
    pub(crate) system: Option<&'static str>,
    pub(crate) address: Option<String>,
    pub(crate) port: Option<u16>,
}

impl Upstream {
    /// A provider of a kind that the conventions have a word for.
    pub(crate) fn of_kind(system: &'static str) -> Self {
        Self {
            system: Some(system),
            ..Self::default()
        }
    }

    /// A provider behind a URL; its path and whatever else is in it stay here.
    pub(crate) fn at(base_url: &str) -> Self {
        let Ok(uri) = base_url.parse::<Uri>() else {
            return Self::default();
        };
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Self {
            system: uri.host().and_then(well_known),
            address: uri.host().map(str::to_owned),
            port: Some(port),
        }
    }
}

impl Upstreams {
    pub(super) fn of(&self, provider: &str) -> Option<&Upstream> {
        self.0.get(provider)
    }
}

impl FromIterator<(String, Upstream)> for Upstreams {
    fn from_iter<I: IntoIterator<Item = (String, Upstream)>>(upstreams: I) -> Self {
        Self(upstreams.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_host_port_and_who_is_known_to_answer_there() {
        let openai = Upstream::at("https://api.openai.com/v1");
        assert_eq!(openai.system, Some("openai"));
        assert_eq!(openai.port, Some(443));
        let own = Upstream::at("http://me:secret@10.0.0.7:8000/v1");
        assert_eq!(own.system, None);
        assert_eq!(own.address.as_deref(), Some("10.0.0.7"));
        assert_eq!(own.port, Some(8000));
    }
}
