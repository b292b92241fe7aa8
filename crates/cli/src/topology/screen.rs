//! What the terminal can show: how wide it is, and whether it takes colours.

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::process::{Command, Stdio};

/// Where text is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    /// Characters in a line.
    pub(super) width: usize,
    pub(super) colours: bool,
}

impl Screen {
    /// Standard output, as the environment describes it.
    pub(super) fn detect() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let width = env::var("COLUMNS")
            .ok()
            .and_then(|columns| columns.parse().ok());
        let width = width.or_else(|| is_terminal.then(terminal_columns).flatten());
        Self {
            width: width.unwrap_or(WIDTH_DEFAULT).clamp(WIDTH_MIN, WIDTH_MAX),
            // https://no-color.org
            colours: is_terminal && !dumb && !is_set("NO_COLOR"),
        }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(super) fn blue(self, text: &str) -> String {
        self.paint("1;34", text)
    }

    /// The text in the style of these SGR parameters (ECMA-48).
    pub(super) fn paint(self, style: &str, text: &str) -> String {
        if self.colours && !text.is_empty() {
            format!("\x1b[{style}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// The text, cut to the width of a line.
    pub(super) fn fit(self, text: &str) -> String {
        if text.chars().count() <= self.width {
            return text.to_owned();
        }
        text.chars().take(self.width - 1).chain(['…']).collect()
    }
}

/// Asks `stty`, since the standard library cannot: "rows columns" of its standard input.
fn terminal_columns() -> Option<usize> {
    let terminal = File::open("/dev/tty").ok()?;
    let output = Command::new("stty")
        .arg("size")
        .stdin(terminal)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let columns = String::from_utf8(output.stdout).ok()?;
    columns
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
        .filter(|&columns| columns > 0)
}

const WIDTH_DEFAULT: usize = 100;
const WIDTH_MIN: usize = 40;
/// Beyond this the map grows taller than most screens.
const WIDTH_MAX: usize = 160;
