//! The names under which things lie in the store. Whose they are comes first,
//! so that no name of one tenant can ever be a name of another's.

/// Owner of what all tenants share; no tenant can have this name.
pub(crate) const EVERYBODY: &str = "*";

/// The limits of a chain entry.
pub(crate) fn entry_limit(entry: &str) -> String {
    format!("{EVERYBODY}/limit/{entry}")
}

/// The limits of a tenant.
pub(crate) fn tenant_limit(tenant: &str) -> String {
    format!("{tenant}/limit")
}

/// The right to change a session.
pub(crate) fn session_lease(tenant: &str, id: &str) -> String {
    format!("{tenant}/session/{id}")
}

/// The cache's namespace of answers.
pub(crate) const ANSWERS: &str = "answer";
/// The cache's namespace of verdicts.
pub(crate) const SCANS: &str = "scan";
