//! Packs in folders.

use std::path::{Path, PathBuf};

use tidegate_text::pack_folder::{PackText, read_file, read_folder};

use super::{Layer, MAX_PACK_BYTES, PackError, Source};

/// A folder of packs, and the layer that they are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackFolder {
    /// Where its packs stand among others.
    pub layer: Layer,
    /// Every `*.toml` in it is a pack; folders in it are left out.
    pub path: PathBuf,
}

/// A pack that was read from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackFile {
    layer: Layer,
    pack: PackText,
}

impl PackFile {
    /// Reads one file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no UTF-8, or has more than 1 MiB.
    pub fn read(layer: Layer, path: &Path) -> Result<Self, PackError> {
        let pack = read_file(path, MAX_PACK_BYTES)?;
        Ok(Self { layer, pack })
    }

    /// For [`crate::Rules::layered`].
    pub fn source(&self) -> Source<'_> {
        Source {
            layer: self.layer,
            name: &self.pack.name,
            text: &self.pack.text,
        }
    }
}

impl PackFolder {
    /// Reads the packs of the folder, in the order of their names.
    ///
    /// # Errors
    ///
    /// The folder or one of its files cannot be read, or there is no pack in it:
    /// whoever names a folder expects rules from it.
    pub fn read(&self) -> Result<Vec<PackFile>, PackError> {
        let packs = read_folder(&self.path, MAX_PACK_BYTES)?;
        let layer = self.layer;
        let packs = packs.into_iter().map(|pack| PackFile { layer, pack });
        Ok(packs.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(name: &str) -> PackFolder {
        let path =
            std::env::temp_dir().join(format!("tidegate-packs-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("below.toml")).unwrap();
        PackFolder {
            layer: Layer::Team,
            path,
        }
    }

    #[test]
    fn packs_are_read_in_the_order_of_their_names_and_nothing_else_is() {
        let folder = folder("order");
        for name in ["b.toml", "a.toml", "c.txt"] {
            fs::write(folder.path.join(name), name).unwrap();
        }
        let packs = folder.read().unwrap();
        let texts: Vec<&str> = packs.iter().map(|pack| pack.source().text).collect();
        assert_eq!(texts, ["a.toml", "b.toml"]);
        assert!(packs[0].source().name.ends_with("a.toml"));
        assert_eq!(packs[0].source().layer, Layer::Team);
        fs::remove_dir_all(folder.path).unwrap();
    }

    #[test]
    fn a_folder_without_packs_and_a_pack_that_is_too_large_are_refused() {
        let folder = folder("large");
        let error = folder.read().unwrap_err().to_string();
        assert!(
            error.ends_with("holds no pack; packs end in .toml"),
            "{error}"
        );
        let large = " ".repeat(MAX_PACK_BYTES + 1);
        fs::write(folder.path.join("a.toml"), large).unwrap();
        let error = folder.read().unwrap_err().to_string();
        assert!(
            error.ends_with("a.toml: has 1048577 bytes; 1048576 are possible"),
            "{error}"
        );
        fs::remove_dir_all(folder.path).unwrap();
    }
}
