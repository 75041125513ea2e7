//! How many cases of a promise were tried. `scripts/test` shows the counts at its end.

use std::io::Write as _;

/// The factor by which a long test is made longer: `SPARKPACK_ROUNDS`, or 1.
pub(crate) fn rounds() -> usize {
    let rounds = std::env::var("SPARKPACK_ROUNDS").ok();
    rounds.map_or(1, |rounds| rounds.parse().unwrap())
}

/// Every `step`-th of all cases; more of them with more [`rounds`].
pub(crate) fn sample<T>(cases: Vec<T>, step: usize) -> Vec<T> {
    let step = (step / rounds()).max(1);
    cases.into_iter().step_by(step).collect()
}

/// Tells how many cases of a promise were run and passed, and fails if it is not all of them.
pub(crate) fn count(promise: &str, what: &str, run: usize, failures: &[String]) {
    let passed = run - failures.len();
    let line = format!("{promise}: {what}: {passed} of {run} passed\n");
    #[expect(
        clippy::print_stdout,
        reason = "it is shown where a test is run by itself"
    )]
    {
        print!("{line}");
    }
    if let Some(file) = std::env::var_os("SPARKPACK_COUNTS") {
        let mut file = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
    assert!(run > 0, "{promise}: {what}: no case was run");
    assert!(failures.is_empty(), "{line}{}", failures.join("\n"));
}
