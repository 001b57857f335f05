//! `[store]`: where things are kept.

use tidegate_engine::{OnUnreachable, OpenError, StoreUrl, Topology};

use super::Sources;
use super::layers::Scalars;
use super::node::Raw;
use super::problems::{Fault, Report};
use super::providers::unusable;
use super::secret::{Reference, Secret};
use super::typed::Store;
use super::value::Value;

/// Where a store is. What was written may hold a password, or name a secret
/// that does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub(super) written: Secret,
    /// `None` until the secret that is named is read.
    pub(super) url: Option<StoreUrl>,
}

/// Checks what stands for `store.url`, and never repeats it.
pub(super) fn check(raw: &Raw) -> Result<Value, Fault> {
    let Raw::Text(text) = raw else {
        let found = raw.type_name();
        return Err(Fault::new(format!("expected an address, found {found}")));
    };
    let url = match Reference::parse(text) {
        Some(_) => None,
        None => Some(parsed(text)?),
    };
    let written = Secret::new(text.as_str());
    Ok(Value::Store(Place { written, url }))
}

fn parsed(text: &str) -> Result<StoreUrl, Fault> {
    text.parse::<StoreUrl>().map_err(|error| {
        Fault::new(match error {
            OpenError::Url(what) => what,
            OpenError::File { .. } | OpenError::Forbidden { .. } => error.to_string(),
        })
    })
}

/// Reads the secret that the address is kept in, where it is.
pub(super) fn find(scalars: &mut Scalars, sources: &Sources<'_>, report: &mut Report) {
    let found = scalars.found(URL);
    let Value::Store(Place { written, url: None }) = &found.value else {
        return;
    };
    let reference = Reference::parse(written.expose()).expect("else there is an address");
    let secret = reference.resolve(sources);
    let url = secret
        .map_err(|error| unusable(&error))
        .and_then(|secret| parsed(secret.expose()));
    match url {
        Ok(url) => {
            let (written, url) = (written.clone(), Some(url));
            scalars.replace(URL, Value::Store(Place { written, url }));
        }
        Err(fault) => report.add(&found.origin, URL, fault),
    }
}

const URL: &str = "store.url";

fn url(scalars: &Scalars) -> Option<&StoreUrl> {
    match &scalars.found(URL).value {
        Value::Store(place) => place.url.as_ref(),
        other => unreachable!("{URL} is not of the kind of {other:?}"),
    }
}

/// A cluster has no numbers to choose from.
pub(super) fn check_databases(scalars: &Scalars, report: &mut Report) {
    let Some(StoreUrl::Redis(url)) = url(scalars) else {
        return;
    };
    if !matches!(url.topology, Topology::Cluster(_)) {
        return;
    }
    for path in ["store.cache_db", "store.sessions_db"] {
        let Some(number @ 1..) = scalars.database(path) else {
            continue;
        };
        let fault = Fault::new(format!(
            "database {number} is not possible while {URL} is a cluster, which has no database but 0"
        ));
        let place = &scalars.found(URL).origin;
        let help = format!("leave it out, or use another Redis than the cluster of {place}");
        report.add(&scalars.found(path).origin, path, fault.help(help));
    }
}

/// `[store]`.
pub(super) fn build(scalars: &Scalars) -> Store {
    let word = scalars.word("store.on_unreachable");
    let mut policies = OnUnreachable::ALL.into_iter();
    Store {
        url: url(scalars)
            .expect("what was not found is a problem")
            .clone(),
        cache_db: scalars.database("store.cache_db"),
        sessions_db: scalars.database("store.sessions_db"),
        timeout: scalars.millis("store.timeout_ms"),
        on_unreachable: policies
            .find(|policy| policy.as_str() == word)
            .expect("the key takes only these words"),
    }
}
