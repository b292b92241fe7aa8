//! Reads a topology from a folder.
//!
//! This is the one module of the crate that touches a file system; everything else works on text.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Fault, Source, Topology};

/// Why a folder holds no sound topology.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The files can be read, and this is wrong with them.
    #[error("{}", lines(.0))]
    Faults(Vec<Fault>),
}

/// The path of the mesh's own file.
const MESH: &str = "topology.toml";

/// A topology's files as they are handed from one machine to another: their text by their paths,
/// `topology.toml` and `regions/*.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopologyFiles(pub BTreeMap<String, String>);

impl TopologyFiles {
    /// Reads them from a folder, whatever they say.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn read(dir: &Path) -> Result<Self, LoadError> {
        let mesh = read(&dir.join(MESH))?;
        let mut files = BTreeMap::from([(MESH.to_owned(), mesh.text)]);
        for path in region_paths(dir)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            files.insert(format!("regions/{name}"), read(&path)?.text);
        }
        Ok(Self(files))
    }

    /// Reads what they say.
    ///
    /// # Errors
    /// Every fault there is; a missing mesh file counts as an empty one.
    pub fn parse(&self) -> Result<Topology, Vec<Fault>> {
        let mesh = Source {
            name: MESH,
            text: self.0.get(MESH).map_or("", String::as_str),
        };
        let regions = self.0.iter().filter(|(path, _)| *path != MESH);
        let regions: Vec<_> = regions.map(|(name, text)| Source { name, text }).collect();
        Topology::parse(mesh, &regions)
    }
}

/// Reads `topology.toml` and every `regions/*.toml` of the folder.
///
/// # Errors
/// When a file cannot be read, or the files do not make a sound topology.
pub fn load_dir(dir: &Path) -> Result<Topology, LoadError> {
    let mesh = read(&dir.join(MESH))?;
    let paths = region_paths(dir)?;
    let mut regions = Vec::with_capacity(paths.len());
    for path in &paths {
        regions.push(read(path)?);
    }
    let sources: Vec<Source<'_>> = regions.iter().map(File::source).collect();
    Topology::parse(mesh.source(), &sources).map_err(LoadError::Faults)
}

fn region_paths(dir: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let regions_dir = dir.join("regions");
    let at = |error| LoadError::Read {
        path: regions_dir.clone(),
        error,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(&regions_dir).map_err(at)? {
        let path = entry.map_err(at)?.path();
        if path.extension() == Some(OsStr::new("toml")) {
            paths.push(path);
        }
    }
    // The system lists a folder in any order; faults are in the same order every time.
    paths.sort();
    Ok(paths)
}

struct File {
    name: String,
    text: String,
}

impl File {
    fn source(&self) -> Source<'_> {
        Source {
            name: &self.name,
            text: &self.text,
        }
    }
}

fn read(path: &Path) -> Result<File, LoadError> {
    let text = fs::read_to_string(path).map_err(|error| LoadError::Read {
        path: path.to_owned(),
        error,
    })?;
    let shown = path.strip_prefix(".").unwrap_or(path);
    Ok(File {
        name: shown.display().to_string(),
        text,
    })
}

fn lines(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(Fault::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
