//! One module of Terraform: a folder of HCL.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use hcl_edit::structure::{Block, Body, Structure};

/// What a module declares.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// All that it says, file by file.
    pub(crate) bodies: Vec<Body>,
    /// Its inputs, and whether each has to be given.
    pub(crate) variables: BTreeMap<String, bool>,
    pub(crate) locals: BTreeSet<String>,
    pub(crate) outputs: BTreeSet<String>,
    /// Modules that it calls.
    pub(crate) calls: BTreeMap<String, Block>,
    /// Resources by `TYPE.NAME`, and data by `data.TYPE.NAME`.
    pub(crate) resources: BTreeMap<String, Block>,
}

impl Module {
    /// Reads every `.tf` of the folder.
    pub(crate) fn read(dir: &Path) -> Self {
        let mut module = Self::default();
        let entries =
            fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.extension().is_some_and(|it| it == "tf") {
                let text = fs::read_to_string(&path).unwrap();
                let body = text.parse::<Body>();
                module.add(body.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
            }
        }
        module
    }

    /// A module of one text.
    pub(crate) fn parse(text: &str) -> Self {
        let mut module = Self::default();
        module.add(text.parse().unwrap());
        module
    }

    fn add(&mut self, body: Body) {
        for structure in body.iter() {
            let Structure::Block(block) = structure else {
                continue;
            };
            let labels: Vec<_> = block.labels.iter().map(|label| label.as_str()).collect();
            match (block.ident.as_str(), labels.as_slice()) {
                ("variable", [name]) => {
                    let required = !block.body.has_attribute("default");
                    self.variables.insert((*name).to_owned(), required);
                }
                ("output", [name]) => {
                    self.outputs.insert((*name).to_owned());
                }
                ("module", [name]) => {
                    self.calls.insert((*name).to_owned(), block.clone());
                }
                ("resource", [kind, name]) => {
                    self.resources
                        .insert(format!("{kind}.{name}"), block.clone());
                }
                ("data", [kind, name]) => {
                    self.resources
                        .insert(format!("data.{kind}.{name}"), block.clone());
                }
                ("locals", []) => {
                    let names = block.body.attributes().map(|local| local.key.to_string());
                    self.locals.extend(names);
                }
                _ => {}
            }
        }
        self.bodies.push(body);
    }
}
