//! What was found, for people and for programs.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// Not looked at, and why.
    Skip,
    /// It works, and will not for long, or not well.
    Warn,
    /// It does not work.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The check, of a few fixed ones.
    pub(super) check: &'static str,
    /// What was looked at, such as an address.
    pub(super) of: String,
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) found: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

/// Everything that was found, in the order of the checks.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
}

impl Report {
    pub(super) fn ok(&mut self, check: &'static str, of: impl Into<String>, found: impl ToString) {
        self.add(check, of, Verdict::Ok, found, None);
    }

    pub(super) fn skip(&mut self, check: &'static str, of: impl Into<String>, why: impl ToString) {
        self.add(check, of, Verdict::Skip, why, None);
    }

    pub(super) fn warn(
        &mut self,
        check: &'static str,
        of: impl Into<String>,
        found: impl ToString,
        mend: &str,
    ) {
        self.add(check, of, Verdict::Warn, found, Some(mend));
    }

    pub(super) fn fail(
        &mut self,
        check: &'static str,
        of: impl Into<String>,
        found: impl ToString,
        mend: &str,
    ) {
        self.add(check, of, Verdict::Fail, found, Some(mend));
    }

    fn add(
        &mut self,
        check: &'static str,
        of: impl Into<String>,
        verdict: Verdict,
        found: impl ToString,
        mend: Option<&str>,
    ) {
        self.findings.push(Finding {
            check,
            of: of.into(),
            verdict,
            found: found.to_string(),
            mend: mend.map(str::to_owned),
        });
    }

    /// The worst of all.
    pub(super) fn worst(&self) -> Verdict {
        let verdicts = self.findings.iter().map(|finding| finding.verdict);
        verdicts.max().unwrap_or(Verdict::Ok)
    }

    /// A line for each finding, and one below it where there is something to mend.
    pub(super) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for finding in &self.findings {
            let Finding {
                check,
                of,
                verdict,
                found,
                mend,
            } = finding;
            writeln!(out, "{verdict:<4} {check:<12} {of}: {found}")?;
            if let Some(mend) = mend {
                writeln!(out, "     {:<12} → {mend}", "")?;
            }
        }
        let count = |wanted| {
            let of_it = self.findings.iter().filter(|it| it.verdict == wanted);
            of_it.count()
        };
        writeln!(
            out,
            "{} ok, {} skipped, {} to look at, {} failed",
            count(Verdict::Ok),
            count(Verdict::Skip),
            count(Verdict::Warn),
            count(Verdict::Fail)
        )
    }

    /// One JSON object.
    pub(super) fn write_json(&self, edge: &str, out: &mut dyn Write) -> io::Result<()> {
        let whole = serde_json::json!({
            "edge": edge,
            "verdict": self.worst(),
            "findings": self.findings,
        });
        serde_json::to_writer_pretty(&mut *out, &whole)?;
        writeln!(out)
    }
}
