//! Runs one target, named by `SLUICE_FUZZ`, under libFuzzer. `scripts/fuzz` builds it as it must be
//! built; built otherwise it does nothing.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static RUN: std::sync::LazyLock<fn(&[u8])> = std::sync::LazyLock::new(|| {
        let wanted = std::env::var("SLUICE_FUZZ").unwrap_or_default();
        sluice_fuzz::TARGETS
            .iter()
            .find(|target| target.name == wanted)
            .unwrap_or_else(|| panic!("SLUICE_FUZZ={wanted} names no target"))
            .run
    });
    RUN(data);
});

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run scripts/fuzz");
}
