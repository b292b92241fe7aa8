//! A drawing of braille dots, two across and four down in every character, with text on top.

use super::atlas::Point;
use super::screen::Screen;

/// What is drawn; later ones cover earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ink {
    Land,
    Link,
    Label,
    Node,
}

impl Ink {
    const fn style(self) -> &'static str {
        match self {
            Self::Land => "2",
            Self::Link => "36",
            Self::Label => "1",
            Self::Node => "1;33",
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    dots: u8,
    text: Option<char>,
    ink: Option<Ink>,
}

pub(super) struct Canvas {
    columns: usize,
    rows: usize,
    cells: Vec<Cell>,
}

impl Canvas {
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        Self {
            columns,
            rows,
            cells: vec![Cell::default(); columns * rows],
        }
    }

    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// The width in dots.
    pub(super) fn width(&self) -> f64 {
        (self.columns * 2) as f64
    }

    /// The height in dots.
    pub(super) fn height(&self) -> f64 {
        (self.rows * 4) as f64
    }

    /// The column and row that a point in dots is in.
    pub(super) fn cell_of(&self, point: Point) -> Option<(usize, usize)> {
        let inside =
            (0.0..self.width()).contains(&point.x) && (0.0..self.height()).contains(&point.y);
        inside.then_some((point.x as usize / 2, point.y as usize / 4))
    }

    /// One dot. Of dots in the same character only those of the upper ink are kept, since a
    /// character has one colour.
    pub(super) fn dot(&mut self, point: Point, ink: Ink) {
        let Some((column, row)) = self.cell_of(point) else {
            return;
        };
        let cell = &mut self.cells[row * self.columns + column];
        if cell.ink.is_some_and(|present| present > ink) {
            return;
        }
        if cell.ink != Some(ink) {
            *cell = Cell {
                ink: Some(ink),
                ..Cell::default()
            };
        }
        cell.dots |= DOTS[point.y as usize % 4][point.x as usize % 2];
    }

    /// A straight line of dots.
    pub(super) fn line(&mut self, from: Point, to: Point, ink: Ink) {
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        let steps = dx.abs().max(dy.abs()).ceil().max(1.0);
        for step in 0..=steps as usize {
            let share = step as f64 / steps;
            self.dot(
                Point {
                    x: from.x + dx * share,
                    y: from.y + dy * share,
                },
                ink,
            );
        }
    }

    /// Text over whatever is there; what reaches over the edge is lost.
    pub(super) fn text(&mut self, column: usize, row: usize, text: &str, ink: Ink) {
        for (offset, character) in text.chars().enumerate() {
            if column + offset < self.columns && row < self.rows {
                self.cells[row * self.columns + column + offset] = Cell {
                    dots: 0,
                    text: Some(character),
                    ink: Some(ink),
                };
            }
        }
    }

    /// How much text of this length here would hide: none when it does not fit or would hide
    /// other text.
    pub(super) fn hidden_by(&self, column: isize, row: isize, length: usize) -> Option<usize> {
        let column = usize::try_from(column).ok()?;
        let row = usize::try_from(row).ok().filter(|&row| row < self.rows)?;
        if column + length > self.columns {
            return None;
        }
        let cells = &self.cells[row * self.columns + column..][..length];
        if cells.iter().any(|cell| cell.text.is_some()) {
            return None;
        }
        Some(
            cells
                .iter()
                .filter(|cell| cell.ink == Some(Ink::Link))
                .count(),
        )
    }

    /// The lines to print, without spaces at their ends.
    pub(super) fn lines(&self, screen: Screen) -> Vec<String> {
        self.cells
            .chunks(self.columns)
            .map(|cells| render(cells, screen))
            .collect()
    }
}

fn render(cells: &[Cell], screen: Screen) -> String {
    let used = cells
        .iter()
        .rposition(|cell| cell.ink.is_some())
        .map_or(0, |last| last + 1);
    cells[..used]
        .chunk_by(|a, b| a.ink == b.ink)
        .map(|run| {
            let text: String = run.iter().map(Cell::character).collect();
            run[0]
                .ink
                .map_or_else(|| text.clone(), |ink| screen.paint(ink.style(), &text))
        })
        .collect()
}

impl Cell {
    fn character(&self) -> char {
        let braille = || char::from_u32(0x2800 + u32::from(self.dots)).unwrap_or(' ');
        match self.text {
            Some(text) => text,
            None if self.dots == 0 => ' ',
            None => braille(),
        }
    }
}

/// The bit of each dot in a braille pattern (U+2800), by row and column.
const DOTS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
