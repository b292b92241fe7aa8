//! Shows faults in the way of compilers: what is wrong, where, and the line itself.

use std::io::{self, Write};

use sluice_types::topology::Fault;

use super::screen::Screen;

pub(super) fn faults(out: &mut dyn Write, screen: Screen, faults: &[Fault]) -> io::Result<()> {
    for fault in faults {
        write_fault(out, screen, fault)?;
    }
    let count = faults.len();
    let noun = if count == 1 { "fault" } else { "faults" };
    writeln!(out, "{}: {count} {noun} found", screen.red("error"))
}

fn write_fault(out: &mut dyn Write, screen: Screen, fault: &Fault) -> io::Result<()> {
    let Fault {
        file,
        line,
        column,
        problem,
        allowed,
        ..
    } = fault;
    let kind = screen.red(&format!("error[{}]", fault.kind));
    let subject = match (fault.key.as_str(), &fault.value) {
        ("", _) => String::new(),
        (key, None) => format!("{key}: "),
        (key, Some(value)) => format!("{key} = {value}: "),
    };
    writeln!(
        out,
        "{kind}: {}",
        screen.bold(&format!("{subject}{problem}"))
    )?;

    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let bar = screen.blue("|");
    // Columns count characters; a tab is shown as one space so that the marks line up.
    let excerpt = fault.excerpt.replace('\t', " ");
    let room = excerpt
        .chars()
        .count()
        .saturating_sub(*column as usize - 1)
        .max(1);
    let marks = "^".repeat((fault.width as usize).min(room));
    let indent = " ".repeat(*column as usize - 1);
    writeln!(out, "{gutter}{} {file}:{line}:{column}", screen.blue("-->"))?;
    writeln!(out, "{gutter} {bar}")?;
    writeln!(out, "{} {bar} {excerpt}", screen.blue(&number))?;
    writeln!(out, "{gutter} {bar} {indent}{}", screen.red(&marks))?;
    writeln!(out, "{gutter} {} allowed: {allowed}\n", screen.blue("="))
}
