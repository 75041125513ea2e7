//! `sparkpack doctor`: says what this machine has and lacks for the project, with what cures it. It changes nothing.

use std::path::Path;

use serde::Serialize;

use crate::{
    cli::{DoctorArguments, DoctorFormat},
    error::Error,
    operations::diagnosis::{self, Cure, Diagnosis, DiagnosisRequest, Finding, Health},
    ui::{Cell, Style, Symbols, Ui, table, visible},
};

/// The version of the document.
const VERSION: u32 = 1;

pub(super) fn run(
    directory: Option<&Path>,
    ui: &Ui,
    arguments: &DoctorArguments,
) -> Result<(), Error> {
    let diagnosis = diagnosis::diagnose(DiagnosisRequest {
        directory,
        registry: arguments.registry.registry.as_deref(),
        is_offline: arguments.offline,
    })?;
    match arguments.format {
        DoctorFormat::Text => lines(ui, &diagnosis)?,
        DoctorFormat::Json => ui.document(&document(&diagnosis))?,
    }
    diagnosis.verdict()
}

/// One line a check, and below it what cures it.
fn lines(ui: &Ui, diagnosis: &Diagnosis) -> Result<(), Error> {
    let rows: Vec<Vec<Cell>> = diagnosis
        .findings
        .iter()
        .map(|finding| {
            let (mark, style) = mark(ui.symbols(), finding.health);
            vec![
                (mark.to_owned(), style),
                (finding.check.clone(), Style::Bold),
                (visible(&finding.text), Style::Plain),
            ]
        })
        .collect();
    for (line, finding) in table(&rows, ui.data_paint())
        .iter()
        .zip(&diagnosis.findings)
    {
        ui.data(line)?;
        match &finding.cure {
            None => {}
            Some(Cure::Command(command)) => ui.data(format!("    run: {}", visible(command)))?,
            Some(Cure::Hint(hint)) => ui.data(format!("    hint: {}", visible(hint)))?,
        }
    }
    Ok(())
}

fn mark(symbols: Symbols, health: Health) -> (&'static str, Style) {
    let (symbol, word, style) = match health {
        Health::Good => ("✔", "good", Style::Good),
        Health::Note => ("•", "note", Style::Notable),
        Health::Bad => ("✘", "BAD", Style::Bad),
        Health::NotAsked => ("-", "-", Style::Dim),
    };
    match symbols {
        Symbols::Unicode => (symbol, style),
        Symbols::Words => (word, style),
    }
}

#[derive(Serialize)]
struct DoctorDocument<'a> {
    version: u32,
    /// Whether nothing has to be mended.
    healthy: bool,
    checks: Vec<CheckEntry<'a>>,
}

#[derive(Serialize)]
struct CheckEntry<'a> {
    name: &'a str,
    state: Health,
    finding: &'a str,
    /// Of what has to be mended.
    code: Option<&'static str>,
    /// A command to type.
    run: Option<&'a str>,
    /// What to change, in words.
    hint: Option<&'a str>,
}

fn document(diagnosis: &Diagnosis) -> DoctorDocument<'_> {
    DoctorDocument {
        version: VERSION,
        healthy: diagnosis.verdict().is_ok(),
        checks: diagnosis.findings.iter().map(entry).collect(),
    }
}

fn entry(finding: &Finding) -> CheckEntry<'_> {
    let (run, hint) = match &finding.cure {
        None => (None, None),
        Some(Cure::Command(command)) => (Some(command.as_str()), None),
        Some(Cure::Hint(hint)) => (None, Some(hint.as_str())),
    };
    CheckEntry {
        name: &finding.check,
        state: finding.health,
        finding: &finding.text,
        code: finding.code.map(crate::code::Code::as_str),
        run,
        hint,
    }
}
