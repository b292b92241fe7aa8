//! What is wrong with a topology: where, what, and what is allowed instead.

use std::fmt;
use std::ops::Range;

/// The text of one configuration file and the name that faults call it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    /// The path as the operator knows it, for example `regions/paris.toml`. The stem of a region
    /// file's path is the region's name.
    pub name: &'a str,
    /// The whole text.
    pub text: &'a str,
}

impl<'a> Source<'a> {
    /// The file's name without its folder and without `.toml`.
    pub(super) fn stem(&self) -> &'a str {
        let file = self.name.rsplit(['/', '\\']).next().unwrap_or(self.name);
        file.strip_suffix(".toml").unwrap_or(file)
    }
}

/// The kinds of fault, as stable words that scripts can look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    /// The file is not TOML.
    Syntax,
    /// A key that nothing reads.
    UnknownKey,
    /// A required key is absent.
    MissingKey,
    /// A value of another type than the key takes.
    WrongType,
    /// A value that is outside its range, or malformed.
    InvalidValue,
    /// A name, link or address that is already taken.
    Duplicate,
    /// A reference to a region that does not exist.
    UnknownRegion,
    /// A region file that `regions` in `topology.toml` does not list.
    UnlistedRegion,
    /// A link from a region to itself.
    SelfLink,
    /// A region that no path of links reaches, or none within the hop limit.
    Unreachable,
}

impl FaultKind {
    /// The kind as a word, for example `unknown-key`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::UnknownKey => "unknown-key",
            Self::MissingKey => "missing-key",
            Self::WrongType => "wrong-type",
            Self::InvalidValue => "invalid-value",
            Self::Duplicate => "duplicate",
            Self::UnknownRegion => "unknown-region",
            Self::UnlistedRegion => "unlisted-region",
            Self::SelfLink => "self-link",
            Self::Unreachable => "unreachable",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One fault of a topology.
///
/// As text it is one line: `file:line:column: kind: key = value: problem; allowed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of fault it is.
    pub kind: FaultKind,
    /// The file, as its [`Source`] names it.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// The column in characters, counted from 1.
    pub column: u32,
    /// How many characters of the line are at fault, at least 1.
    pub width: u32,
    /// The line's own text, without its end.
    pub excerpt: String,
    /// The key with its tables, for example `link[2].loss`; empty when the whole file is meant.
    pub key: String,
    /// The offending value as written, cut to 64 characters; none when there is no value.
    pub value: Option<String>,
    /// What is wrong, as a sentence without its full stop.
    pub problem: String,
    /// What is allowed instead, as a phrase.
    pub allowed: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            file,
            line,
            column,
            problem,
            allowed,
            ..
        } = self;
        write!(f, "{file}:{line}:{column}: {kind}: ")?;
        match (self.key.as_str(), &self.value) {
            ("", _) => {}
            (key, None) => write!(f, "{key}: ")?,
            (key, Some(value)) => write!(f, "{key} = {value}: ")?,
        }
        write!(f, "{problem}; allowed: {allowed}")
    }
}

impl std::error::Error for Fault {}

/// What to say at a place in a file; the place becomes line and column.
pub(super) struct Complaint {
    /// The bytes of the value, empty when there is none.
    pub(super) value_at: Range<usize>,
    pub(super) kind: FaultKind,
    pub(super) key: String,
    pub(super) problem: String,
    pub(super) allowed: String,
}

/// The most of a value that a fault repeats, in characters.
const VALUE_CHARS_MAX: usize = 64;

/// The most of a line that a fault repeats, in characters.
const EXCERPT_CHARS_MAX: usize = 240;

impl Fault {
    /// A fault at these bytes of the source.
    pub(super) fn new(source: Source<'_>, at: &Range<usize>, complaint: Complaint) -> Self {
        let text = source.text;
        let start = floor_char(text, at.start);
        let end = floor_char(text, at.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_text = text[line_start..].lines().next().unwrap_or_default();
        let first_line = text[start..end].lines().next().unwrap_or_default();
        let value_start = floor_char(text, complaint.value_at.start);
        let value_end = floor_char(text, complaint.value_at.end).max(value_start);
        let value = &text[value_start..value_end];
        Self {
            kind: complaint.kind,
            file: source.name.to_owned(),
            line: count(text[..start].matches('\n').count() + 1),
            column: count(text[line_start..start].chars().count() + 1),
            width: count(first_line.chars().count().max(1)),
            excerpt: line_text.chars().take(EXCERPT_CHARS_MAX).collect(),
            key: complaint.key,
            value: (!value.is_empty()).then(|| shorten(value)),
            problem: complaint.problem,
            allowed: complaint.allowed,
        }
    }
}

/// The value on one line and not too long.
fn shorten(value: &str) -> String {
    let mut words = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = words.char_indices().nth(VALUE_CHARS_MAX) {
        words.truncate(cut);
        words.push('…');
    }
    words
}

fn floor_char(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The known word that was probably meant: the nearest one, if it is near.
pub(super) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let near = (word.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .filter_map(|candidate| {
            // A word cut short is meant as well, however long the rest is.
            let is_start = word.len() >= 3 && candidate.starts_with(word);
            let distance = if is_start {
                1
            } else {
                edit_distance(word, candidate)
            };
            (distance <= near).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many insertions, deletions and replacements turn one word into the other.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
