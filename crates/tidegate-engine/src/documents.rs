//! The documents that are shipped inside the binary.

/// Name and text of each.
pub(crate) const SHIPPED: &[(&str, &str)] = &[
    (
        "chains-and-fallback.md",
        include_str!("../../../packs/documents/chains-and-fallback.md"),
    ),
    (
        "configuration.md",
        include_str!("../../../packs/documents/configuration.md"),
    ),
    (
        "endpoints.md",
        include_str!("../../../packs/documents/endpoints.md"),
    ),
    (
        "getting-started.md",
        include_str!("../../../packs/documents/getting-started.md"),
    ),
    (
        "glossary.md",
        include_str!("../../../packs/documents/glossary.md"),
    ),
    (
        "limits.md",
        include_str!("../../../packs/documents/limits.md"),
    ),
    (
        "operating.md",
        include_str!("../../../packs/documents/operating.md"),
    ),
    (
        "streaming-and-errors.md",
        include_str!("../../../packs/documents/streaming-and-errors.md"),
    ),
];
