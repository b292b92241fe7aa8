//! The live page must be built before it can be embedded.

use std::path::Path;

fn main() {
    // Asked at run time: checkouts may share their build outputs, and with them this program.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let page = Path::new(&here).join("../../web/dist-ops/index.html");
    println!("cargo::rerun-if-changed={}", page.display());
    if !page.exists() {
        println!("cargo::error=the live page is not built: run scripts/setup first");
    }
}
