//! The closing lines of a check: one for each step, then one for all.

use std::time::Duration;

use super::Outcome;

/// What came of one step.
pub struct Line {
    /// The step's name.
    pub step: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub length: Duration,
}

/// Whether any step failed.
pub fn any_failed(lines: &[Line]) -> bool {
    lines
        .iter()
        .any(|line| matches!(line.outcome, Outcome::Failed(_)))
}

/// All lines: name, result, seconds, remark; then the verb's totals.
pub fn table(verb: &str, lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.step.len()).max().unwrap_or(0);
    let mut text = String::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for Line {
        step,
        outcome,
        length,
    } in lines
    {
        let (result, remark, count) = match outcome {
            Outcome::Passed(remark) => ("ok", remark, &mut passed),
            Outcome::Failed(remark) => ("FAILED", remark, &mut failed),
            Outcome::Skipped(remark) => ("skipped", remark, &mut skipped),
        };
        *count += 1;
        let seconds = length.as_secs_f64();
        let line = format!("{step:width$}  {result:7}  {seconds:6.1} s  {remark}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let seconds: f64 = lines.iter().map(|line| line.length.as_secs_f64()).sum();
    let result = if failed > 0 { "FAILED" } else { "ok" };
    text.push_str(&format!(
        "{verb} {result}: {passed} ok, {failed} failed, {skipped} skipped in {seconds:.1} s"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: &'static str, outcome: Outcome) -> Line {
        Line {
            step,
            outcome,
            length: Duration::from_millis(1250),
        }
    }

    #[test]
    fn each_step_has_its_line_and_the_last_line_counts_them() {
        let lines = [
            line("format", Outcome::Passed(String::new())),
            line("rust-version", Outcome::Skipped("no compiler 1.85".into())),
        ];
        assert!(!any_failed(&lines), "a skipped step is no failure");
        assert_eq!(
            table("check", &lines),
            "format        ok          1.2 s\n\
             rust-version  skipped     1.2 s  no compiler 1.85\n\
             check ok: 1 ok, 0 failed, 1 skipped in 2.5 s"
        );
    }

    #[test]
    fn one_failed_step_fails_all() {
        let lines = [
            line("tests", Outcome::Failed("1 passed, 2 failed".into())),
            line("docs", Outcome::Passed(String::new())),
        ];
        assert!(any_failed(&lines));
        let table = table("check", &lines);
        assert!(
            table.contains("tests  FAILED      1.2 s  1 passed, 2 failed"),
            "{table}"
        );
        assert!(
            table.ends_with("check FAILED: 1 ok, 1 failed, 0 skipped in 2.5 s"),
            "{table}"
        );
    }
}
