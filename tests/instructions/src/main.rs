//! Runs one scenario of the packet's way so that callgrind counts the instructions within
//! [`measured`] alone. `scripts/instructions` runs them all, and compares with `baseline.json`.
//!
//! `sluice-instructions --list` names them with how many operations each counts; `sluice-instructions
//! NAME` runs one. Everything that comes before is warming up: queues, rings and tables have their
//! sizes by then.

#[cfg(test)]
mod allocations;
mod meeting;
#[cfg(test)]
mod memory;
mod scenarios;

use std::hint::black_box;
use std::process::ExitCode;

use scenarios::SCENARIOS;

/// What is counted: `scripts/instructions` tells callgrind this function's name.
#[inline(never)]
fn measured(operation: &mut dyn FnMut()) {
    black_box(&mut *operation)();
}

#[expect(clippy::print_stdout, reason = "the list is the output")]
fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    if wanted == "--list" {
        for scenario in SCENARIOS {
            println!("{} {}", scenario.name, scenario.operations);
        }
        return ExitCode::SUCCESS;
    }
    let Some(scenario) = SCENARIOS.iter().find(|scenario| scenario.name == wanted) else {
        eprintln!("`{wanted}` is no scenario; --list names them");
        return ExitCode::FAILURE;
    };
    (scenario.run)(scenario.operations);
    ExitCode::SUCCESS
}
