//! Walks a TOML document by hand, so that one pass finds every fault and knows where each is.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use toml_edit::{ArrayOfTables, Document, Item, TableLike, Value};

use super::fault::{Complaint, Fault, FaultKind, Source, did_you_mean};

/// A value and the bytes it was read from.
#[derive(Debug, Clone)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) at: Range<usize>,
}

/// One file and the faults found in it so far.
pub(super) struct Reader<'a> {
    source: Source<'a>,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(source: Source<'a>) -> Self {
        Self {
            source,
            faults: Vec::new(),
        }
    }

    pub(super) fn source(&self) -> Source<'a> {
        self.source
    }

    /// The parsed document, or none with a fault.
    pub(super) fn document(&mut self) -> Option<Document<&'a str>> {
        match Document::parse(self.source.text) {
            Ok(document) => Some(document),
            Err(error) => {
                let at = error.span().unwrap_or(0..0);
                self.fault(
                    &at,
                    FaultKind::Syntax,
                    "",
                    error.message(),
                    "TOML 1.0 (toml.io)",
                );
                None
            }
        }
    }

    pub(super) fn fault(
        &mut self,
        at: &Range<usize>,
        kind: FaultKind,
        key: &str,
        problem: impl Into<String>,
        allowed: impl Into<String>,
    ) {
        let value_at = if kind == FaultKind::MissingKey {
            0..0
        } else {
            at.clone()
        };
        let complaint = Complaint {
            value_at,
            kind,
            key: key.to_owned(),
            problem: problem.into(),
            allowed: allowed.into(),
        };
        self.faults.push(Fault::new(self.source, at, complaint));
    }

    /// `file:line` of these bytes, for faults that point at a second place.
    pub(super) fn place(&self, at: &Range<usize>) -> String {
        let line = self
            .source
            .text
            .bytes()
            .take(at.start)
            .filter(|&b| b == b'\n')
            .count()
            + 1;
        format!("{}:{line}", self.source.name)
    }
}

/// One table of a document. It remembers which keys were asked for, and [`Section::finish`]
/// complains about the others.
pub(super) struct Section<'t> {
    table: &'t dyn TableLike,
    path: String,
    at: Range<usize>,
    known: Vec<&'static str>,
}

impl<'t> Section<'t> {
    pub(super) fn root(document: &'t Document<&str>) -> Self {
        Self {
            table: document.as_table(),
            path: String::new(),
            at: 0..0,
            known: Vec::new(),
        }
    }

    /// Where the table begins, for faults about what it lacks.
    pub(super) const fn at(&self) -> &Range<usize> {
        &self.at
    }

    /// The key with the tables it is in.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// An optional key.
    pub(super) fn find(&mut self, key: &'static str) -> Option<Field<'t>> {
        self.known.push(key);
        self.peek(key)
    }

    /// A key that was, or is yet to be, asked for.
    pub(super) fn peek(&self, key: &str) -> Option<Field<'t>> {
        self.field(key)
    }

    /// A required key.
    pub(super) fn need(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        allowed: &str,
    ) -> Option<Field<'t>> {
        let field = self.find(key);
        if field.is_none() {
            let problem = format!("the required key `{key}` is missing");
            reader.fault(
                &self.at,
                FaultKind::MissingKey,
                &self.path(key),
                problem,
                allowed,
            );
        }
        field
    }

    /// Every key of a table whose keys are names rather than words of ours.
    pub(super) fn entries(&self) -> Vec<(&'t str, Field<'t>)> {
        self.table
            .iter()
            .filter_map(|(key, _)| Some((key, self.field(key)?)))
            .collect()
    }

    /// Complains about every key that was not asked for.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        for (key, _) in self
            .table
            .iter()
            .filter(|(key, _)| !self.known.contains(key))
        {
            let at = self
                .table
                .key(key)
                .and_then(toml_edit::Key::span)
                .unwrap_or(0..0);
            let problem = match did_you_mean(key, self.known.iter().copied()) {
                Some(meant) => format!("there is no key `{key}`, did you mean `{meant}`?"),
                None => format!("there is no key `{key}`"),
            };
            let complaint = Complaint {
                // A table as a value would be all of its lines.
                value_at: match self.field(key) {
                    Some(Field {
                        node: Node::Value(_),
                        at,
                        ..
                    }) => at,
                    _ => 0..0,
                },
                kind: FaultKind::UnknownKey,
                key: self.path(key),
                problem,
                allowed: self.known.join(", "),
            };
            reader
                .faults
                .push(Fault::new(reader.source, &at, complaint));
        }
    }

    fn field(&self, key: &str) -> Option<Field<'t>> {
        let (name, item) = self.table.get_key_value(key)?;
        let node = match item {
            Item::None => return None,
            Item::Value(value) => Node::Value(value),
            Item::Table(table) => Node::Table(table),
            Item::ArrayOfTables(tables) => Node::Tables(tables),
        };
        let key_at = name.span().unwrap_or(0..0);
        // A table's own span reaches over its content; faults about it point at its name.
        let at = match node {
            Node::Value(value) => value.span().unwrap_or_else(|| key_at.clone()),
            Node::Table(_) | Node::Tables(_) => key_at,
        };
        Some(Field {
            node,
            path: self.path(key),
            at,
        })
    }
}

#[derive(Clone, Copy)]
enum Node<'t> {
    Value(&'t Value),
    Table(&'t dyn TableLike),
    Tables(&'t ArrayOfTables),
}

/// One value of a document, of a type that is yet to be seen.
pub(super) struct Field<'t> {
    node: Node<'t>,
    pub(super) path: String,
    pub(super) at: Range<usize>,
}

impl<'t> Field<'t> {
    pub(super) fn is_integer(&self) -> bool {
        matches!(self.node, Node::Value(Value::Integer(_)))
    }

    pub(super) fn is_array(&self) -> bool {
        matches!(self.node, Node::Value(Value::Array(_)) | Node::Tables(_))
    }

    pub(super) fn is_number(&self) -> bool {
        self.is_integer() || matches!(self.node, Node::Value(Value::Float(_)))
    }

    pub(super) fn text(&self, reader: &mut Reader<'_>, allowed: &str) -> Option<&'t str> {
        match self.node {
            Node::Value(Value::String(text)) => Some(text.value()),
            _ => self.wrong_type(reader, allowed),
        }
    }

    /// A text that is parsed into `T`.
    pub(super) fn parsed<T: FromStr>(
        &self,
        reader: &mut Reader<'_>,
        allowed: &str,
    ) -> Option<Spanned<T>> {
        let text = self.text(reader, allowed)?;
        match text.parse() {
            Ok(value) => Some(Spanned {
                value,
                at: self.at.clone(),
            }),
            Err(_) => {
                self.invalid(reader, "the value is malformed", allowed);
                None
            }
        }
    }

    /// A whole number within these bounds, in this unit.
    pub(super) fn integer(
        &self,
        reader: &mut Reader<'_>,
        range: RangeInclusive<u32>,
        unit: &str,
    ) -> Option<u32> {
        let allowed = allowed_range("an integer", &range, unit);
        let Node::Value(Value::Integer(number)) = self.node else {
            return self.wrong_type(reader, &allowed);
        };
        let inside = u32::try_from(*number.value())
            .ok()
            .filter(|value| range.contains(value));
        if inside.is_none() {
            self.invalid(reader, "the value is out of range", &allowed);
        }
        inside
    }

    /// A number, whole or not, within these bounds, in this unit.
    pub(super) fn decimal(
        &self,
        reader: &mut Reader<'_>,
        range: RangeInclusive<f64>,
        unit: &str,
    ) -> Option<f64> {
        let allowed = allowed_range("a number", &range, unit);
        let number = match self.node {
            Node::Value(Value::Integer(number)) => *number.value() as f64,
            Node::Value(Value::Float(number)) => *number.value(),
            _ => return self.wrong_type(reader, &allowed),
        };
        let inside = Some(number).filter(|value| range.contains(value));
        if inside.is_none() {
            self.invalid(reader, "the value is out of range", &allowed);
        }
        inside
    }

    /// A table, written in either of TOML's ways.
    pub(super) fn section(&self, reader: &mut Reader<'_>, allowed: &str) -> Option<Section<'t>> {
        let table: &'t dyn TableLike = match self.node {
            Node::Value(Value::InlineTable(table)) => table,
            Node::Table(table) => table,
            _ => return self.wrong_type(reader, allowed),
        };
        Some(Section {
            table,
            path: self.path.clone(),
            at: self.at.clone(),
            known: Vec::new(),
        })
    }

    /// The elements of an array, or of an array of tables.
    pub(super) fn elements(&self, reader: &mut Reader<'_>, allowed: &str) -> Vec<Self> {
        let nodes: Vec<(Node<'t>, Option<Range<usize>>)> = match self.node {
            Node::Value(Value::Array(array)) => array
                .iter()
                .map(|value| (Node::Value(value), value.span()))
                .collect(),
            Node::Tables(tables) => tables
                .iter()
                .map(|table| (Node::Table(table as &dyn TableLike), table.span()))
                .collect(),
            _ => {
                self.wrong_type::<()>(reader, allowed);
                Vec::new()
            }
        };
        let element = |(index, (node, at)): (usize, (Node<'t>, Option<Range<usize>>))| Self {
            node,
            path: format!("{}[{}]", self.path, index + 1),
            at: at.unwrap_or_else(|| self.at.clone()),
        };
        nodes.into_iter().enumerate().map(element).collect()
    }

    /// Complains about the value.
    pub(super) fn invalid(&self, reader: &mut Reader<'_>, problem: &str, allowed: &str) {
        reader.fault(
            &self.at,
            FaultKind::InvalidValue,
            &self.path,
            problem,
            allowed,
        );
    }

    pub(super) fn wrong_type<T>(&self, reader: &mut Reader<'_>, allowed: &str) -> Option<T> {
        let found = match self.node {
            Node::Value(Value::String(_)) => "a string",
            Node::Value(Value::Integer(_)) => "an integer",
            Node::Value(Value::Float(_)) => "a float",
            Node::Value(Value::Boolean(_)) => "a boolean",
            Node::Value(Value::Datetime(_)) => "a date",
            Node::Value(Value::Array(_)) => "an array",
            Node::Value(Value::InlineTable(_)) | Node::Table(_) => "a table",
            Node::Tables(_) => "an array of tables",
        };
        let problem = format!("the value is {found}");
        reader.fault(&self.at, FaultKind::WrongType, &self.path, problem, allowed);
        None
    }
}

fn allowed_range<T: Display>(what: &str, range: &RangeInclusive<T>, unit: &str) -> String {
    let space = if unit.is_empty() { "" } else { " " };
    format!(
        "{what} from {} to {}{space}{unit}",
        range.start(),
        range.end()
    )
}
