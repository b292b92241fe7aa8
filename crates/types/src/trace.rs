//! Which trace something belongs to, as it travels between processes (W3C Trace Context, version 00).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A trace and the span in it that comes before: `00-` 32 digits `-` 16 digits `-01`. Only what is
/// recorded travels, so the flag is always that of a recorded trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: u128,
    span: u64,
}

/// A text is no [`TraceParent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "allowed: `00-`, 32 digits 0-9 and a-f, `-`, 16 of them, `-01`; neither number of zeros alone"
)]
pub struct InvalidTraceParent;

impl TraceParent {
    /// This span of this trace; none when either is 0, which means none.
    #[must_use]
    pub const fn new(trace: u128, span: u64) -> Option<Self> {
        if trace == 0 || span == 0 {
            return None;
        }
        Some(Self { trace, span })
    }

    /// The trace.
    #[must_use]
    pub const fn trace(self) -> u128 {
        self.trace
    }

    /// The span.
    #[must_use]
    pub const fn span(self) -> u64 {
        self.span
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let parts = [(); 5].map(|()| parts.next());
        let [Some("00"), Some(trace), Some(span), Some("01"), None] = parts else {
            return Err(InvalidTraceParent);
        };
        let is_hex = |text: &str, digits| {
            text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !is_hex(trace, 32) || !is_hex(span, 16) {
            return Err(InvalidTraceParent);
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| InvalidTraceParent)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| InvalidTraceParent)?;
        Self::new(trace, span).ok_or(InvalidTraceParent)
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads one where one may stand; what is none is no reason to refuse the rest.
///
/// # Errors
/// When the value is neither a text nor absent.
pub fn if_valid<'de, D: Deserializer<'de>>(from: D) -> Result<Option<TraceParent>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_w3c_has_it_and_read_again() {
        // The example of the recommendation.
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent: TraceParent = text.parse().expect("valid");
        assert_eq!(parent.span(), 0xb7ad_6b71_6920_3331);
        assert_eq!(parent.to_string(), text);
        let small = TraceParent::new(1, 2).expect("neither is 0");
        assert_eq!(small.to_string().parse(), Ok(small));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            assert_eq!(
                text.parse::<TraceParent>(),
                Err(InvalidTraceParent),
                "{text}"
            );
        }
    }
}
