//! The policy of a scan: a built-in one, or a file.

use tidegate_guard::{Builtin, Policy, Rules, ScanRequest};

/// What the command line asks for: a built-in name, the id of one that is
/// `configured`, or else a path.
pub(super) fn find(given: &str, configured: &[Policy]) -> Result<Policy, String> {
    if let Ok(builtin) = given.parse::<Builtin>() {
        return Ok(builtin.into());
    }
    if let Some(known) = configured.iter().find(|policy| policy.id() == given) {
        return Ok(known.clone());
    }
    let text = std::fs::read_to_string(given).map_err(|error| {
        let words = Builtin::ALL.iter().map(|one| one.as_str());
        let words = words.chain(configured.iter().map(Policy::id));
        let words = words.collect::<Vec<_>>().join(", ");
        format!("--policy {given:?} is none of {words}, and no file that can be read: {error}")
    })?;
    Policy::load(given, &text).map_err(|error| error.to_string())
}

/// Says what of a policy does nothing.
pub(super) fn warn(request: &ScanRequest, rules: &Rules) {
    let policy = &request.policy;
    for suppression in policy.expired(request.at) {
        let (pattern, reason) = (suppression.pattern(), &suppression.reason);
        eprintln!("warning: the suppression of {pattern} has expired ({reason})");
    }
    for pattern in policy.without_rule(rules) {
        eprintln!("warning: policy {policy}: no rule fits {pattern}; tidegate rules ls lists them");
    }
}
