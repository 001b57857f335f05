//! Which packs a command is about.

use std::path::Path;

use tidegate_guard::{BUILTIN, PackError, PackFile, PackFolder, PackLayer, Rules};

/// The word for the rules of this build.
const OWN: &str = "builtin";

/// Loads packs and tries all their examples; those of this build where nothing
/// else is named.
pub(super) fn load_tried(named: &str) -> Result<Rules, PackError> {
    match named == OWN {
        true => Rules::load(BUILTIN),
        false => load(named),
    }
}

/// Loads packs that were named on the command line.
pub(super) fn load(named: &str) -> Result<Rules, PackError> {
    let parts: Vec<&str> = named.split('+').collect();
    let mut files = Vec::new();
    for (place, part) in parts.iter().enumerate().filter(|(_, part)| **part != OWN) {
        let layer = match place + 1 == parts.len() {
            true => PackLayer::Custom,
            false => PackLayer::Team,
        };
        files.extend(read(layer, Path::new(part))?);
    }
    let own = match parts.contains(&OWN) {
        true => BUILTIN,
        false => &[],
    };
    let own = own.iter().map(|(name, text)| tidegate_guard::Source {
        layer: PackLayer::Core,
        name,
        text,
    });
    let sources: Vec<_> = own.chain(files.iter().map(PackFile::source)).collect();
    Rules::layered(&sources)
}

fn read(layer: PackLayer, path: &Path) -> Result<Vec<PackFile>, PackError> {
    if path.is_dir() {
        let path = path.to_owned();
        return PackFolder { layer, path }.read();
    }
    PackFile::read(layer, path).map(|file| vec![file])
}
