//! Every target over its corpus, and over mutations of it that are the same each time.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sluice_fuzz::TARGETS;
use sluice_fuzz::mutate::mutate;
use sluice_streams::random::Random;

/// Mutations of each target, unless `SLUICE_FUZZ_MUTATIONS` says otherwise.
const MUTATIONS: u64 = 20_000;

fn corpus(target: &sluice_fuzz::Target) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(target.corpus())
        .expect("every target has a corpus")
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    let inputs: Vec<_> = paths
        .iter()
        .map(|path| fs::read(path).expect("readable"))
        .collect();
    assert!(!inputs.is_empty(), "the corpus of {} is empty", target.name);
    inputs
}

fn check(name: &str) {
    let target = TARGETS
        .iter()
        .find(|target| target.name == name)
        .expect("a target");
    let inputs = corpus(target);
    let run = |input: &[u8], what: &str| {
        if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
            panic!("{name} fails on {what}: {}", hexadecimal(input));
        }
    };
    for (n, input) in inputs.iter().enumerate() {
        run(input, &format!("input {n} of its corpus"));
    }
    let mutations = std::env::var("SLUICE_FUZZ_MUTATIONS")
        .map_or(MUTATIONS, |count| count.parse().expect("a number"));
    for seed in 0..mutations {
        let mut random = Random::new(seed);
        let mut input = inputs[random.below(inputs.len())].clone();
        mutate(&mut random, &mut input, &inputs);
        run(&input, &format!("mutation {seed}"));
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_target_is_run_here() {
    let run = [
        "stun",
        "sdp",
        "signalling",
        "backbone",
        "datagram",
        "rtp",
        "rtcp",
        "descriptor",
        "payload",
        "red",
        "forwarder",
    ];
    let all: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(all, run);
}

macro_rules! targets {
    ($($name:ident),*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*
    };
}

targets!(
    stun, sdp, signalling, backbone, datagram, rtp, rtcp, descriptor, payload, red, forwarder
);
