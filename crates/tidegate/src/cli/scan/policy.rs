//! The policy of a scan: a built-in one, or a file.

use tidegate_guard::{Builtin, Policy, Rules, ScanRequest};

/// What the command line asks for. What is no built-in name is a path.
pub(super) fn find(given: Option<&str>) -> Result<Policy, String> {
    let Some(given) = given else {
        return Ok(Policy::default());
    };
    if let Ok(builtin) = given.parse::<Builtin>() {
        return Ok(builtin.into());
    }
    let text = std::fs::read_to_string(given).map_err(|error| {
        let words: Vec<_> = Builtin::ALL.iter().map(|one| one.as_str()).collect();
        let words = words.join(", ");
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
