//! Reads all of `terraform/` as HCL and checks what Terraform itself can only check with providers:
//! that each reference leads somewhere, that modules are called with what they take, that both
//! clouds keep one contract, and that the tests' stand-ins keep it too.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod module;
mod references;

use std::fs;
use std::path::{Path, PathBuf};

use module::Module;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../terraform")
}

/// Every folder with HCL of its own below this one.
fn modules_under(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        let entries: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        if entries
            .iter()
            .any(|path| path.extension().is_some_and(|it| it == "tf"))
        {
            found.push(dir);
        }
        let is_ours =
            |path: &&PathBuf| !path.file_name().unwrap().to_string_lossy().starts_with('.');
        waiting.extend(
            entries
                .iter()
                .filter(|path| path.is_dir())
                .filter(is_ours)
                .cloned(),
        );
    }
    found.sort();
    found
}

fn faults_of(dir: &Path) -> Vec<String> {
    let module = Module::read(dir);
    let called = |source: &str| Module::read(&dir.join(source));
    references::faults(&module, &called)
        .into_iter()
        .map(|fault| format!("{}: {fault}", dir.display()))
        .collect()
}

#[test]
fn every_reference_leads_somewhere() {
    let modules = modules_under(&root());
    assert!(modules.len() > 10, "{modules:?}");
    let faults: Vec<_> = modules.iter().flat_map(|dir| faults_of(dir)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn both_clouds_keep_one_contract() {
    for name in ["network", "addresses", "machines"] {
        let [aws, hetzner] = ["aws", "hetzner"]
            .map(|cloud| Module::read(&root().join("modules").join(cloud).join(name)));
        assert_eq!(aws.variables, hetzner.variables, "inputs of {name}");
        assert_eq!(aws.outputs, hetzner.outputs, "outputs of {name}");
    }
}

#[test]
fn stand_ins_are_as_what_they_stand_for() {
    let stubs = Path::new(env!("CARGO_MANIFEST_DIR")).join("terraform/stubs");
    for cloud in ["aws", "hetzner"] {
        let real = modules_under(&root().join("modules").join(cloud));
        for dir in &real {
            let name = dir.file_name().unwrap();
            let stub = Module::read(&stubs.join(cloud).join(name));
            let module = Module::read(dir);
            assert_eq!(module.variables, stub.variables, "{}", dir.display());
            assert_eq!(module.outputs, stub.outputs, "{}", dir.display());
            // A stand-in needs not everything that it is given.
            let mut faults = faults_of(&stubs.join(cloud).join(name));
            faults.retain(|fault| !fault.contains("nothing uses var."));
            assert_eq!(faults, [""; 0]);
        }
        assert_eq!(
            real.len(),
            modules_under(&stubs.join(cloud)).len(),
            "{cloud}"
        );
    }
}

/// Every resource of AWS names its region: a provider has one, and this mesh has many.
#[test]
fn every_regional_resource_names_its_region() {
    let global = ["aws_iam_", "aws_route53_"];
    for dir in modules_under(&root().join("modules/aws")) {
        for block in Module::read(&dir).resources.values() {
            let kind = block.labels[0].as_str();
            if !global.iter().any(|prefix| kind.starts_with(prefix)) {
                assert!(
                    block.body.has_attribute("region"),
                    "{kind} in {}",
                    dir.display()
                );
            }
        }
    }
}

#[test]
fn what_leads_nowhere_is_found() {
    let text = r#"
        variable "name" {}
        variable "idle" {}
        locals { known = [for n in var.name : n] }
        module "one" {
          source = "./one"
          name   = "${local.unknown} ${var.nome}"
          extra  = each.key
        }
        output "all" { value = [module.one.nothing, module.two, data.aws_eip.x.id, aws_eip.y.id, stray] }
        output "own" { value = { for k, v in local.known : k => v if k != "" } }
    "#;
    let one = r#"
        variable "name" {}
        variable "also" {}
        output "some" { value = "${var.name} ${var.also}" }
    "#;
    let found = references::faults(&Module::parse(text), &|_| Module::parse(one));
    let expected = [
        "module.one lacks `also`",
        "module.one takes no `extra`",
        "there is no local.unknown",
        "there is no var.nome",
        "each is not within for_each",
        "module.one has no output `nothing`",
        "there is no module.two",
        "there is no data.aws_eip.x",
        "there is no aws_eip.y",
        "there is no stray",
        "nothing uses var.idle",
    ];
    for fault in expected {
        assert!(
            found.iter().any(|it| it == fault),
            "{fault} is not in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}
