//! The packs of this build.

/// A pack of `packs/prompts`.
macro_rules! prompt {
    ($name:literal) => {
        (
            concat!("packs/prompts/", $name, ".toml"),
            include_str!(concat!("../../../../packs/prompts/", $name, ".toml")),
        )
    };
}

/// A pack of `packs/frameworks`.
macro_rules! framework {
    ($name:literal) => {
        (
            concat!("packs/frameworks/", $name, ".toml"),
            include_str!(concat!("../../../../packs/frameworks/", $name, ".toml")),
        )
    };
}

/// Names and texts of the prompts.
pub(super) const PROMPTS: &[(&str, &str)] = &[
    prompt!("analysis"),
    prompt!("chat"),
    prompt!("follow-up-analysis"),
    prompt!("procedure"),
    prompt!("query-writing"),
    prompt!("section-identification"),
    prompt!("troubleshoot"),
];

/// Names and texts of the frameworks.
pub(super) const FRAMEWORKS: &[(&str, &str)] = &[framework!("seller-investigation")];
