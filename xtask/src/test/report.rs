//! Test results, counted by crate while cargo prints them.

use std::fmt::Write;
use std::time::Duration;

use crate::elapsed::elapsed;
use crate::paint::{self, Paint};
use crate::table::{Align, Table, Tone};

use super::runner::Suites;

/// Everything that the test programs have reported.
#[derive(Debug)]
pub(crate) struct Report {
    owners: Suites,
    suites: Vec<Suite>,
    failures: Vec<String>,
    /// The beginning of a line whose end has not been read yet.
    partial: Vec<u8>,
}

/// One test program, or the doc tests of one library.
#[derive(Debug)]
struct Suite {
    package: String,
    counts: Option<Counts>,
}

/// What a line `test result: …` says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
    seconds: f64,
}

impl Report {
    pub(crate) fn new(owners: Suites) -> Self {
        Self { owners, suites: Vec::new(), failures: Vec::new(), partial: Vec::new() }
    }

    /// Takes the next bytes of the output.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut self.partial);
                self.line(&paint::strip(&String::from_utf8_lossy(&line)));
            } else {
                self.partial.push(byte);
            }
        }
    }

    /// Takes the way cargo ended. A failed run whose programs all reported success, and a program that ended
    /// without a result, count as one failure.
    pub(crate) fn finish(&mut self, success: bool) {
        if success {
            return;
        }
        for suite in self.suites.iter_mut().filter(|suite| suite.counts.is_none()) {
            suite.counts = Some(Counts { failed: 1, ..Counts::default() });
            self.failures.push(format!("{}: a test program ended without a result", suite.package));
        }
        if self.total().failed == 0 {
            let counts = Some(Counts { failed: 1, ..Counts::default() });
            self.suites.push(Suite { package: "cargo".to_owned(), counts });
            self.failures.push("cargo test failed; its message is above".to_owned());
        }
    }

    pub(crate) fn passed(&self) -> bool {
        self.total().failed == 0
    }

    /// The table by crate, the failed tests, the times, and the closing line.
    pub(crate) fn summary(&self, build: Duration, tests: Duration) -> String {
        let total = self.total();
        let mut text = format!("\n{}", self.table());
        for failure in &self.failures {
            let _ = writeln!(text, "{} {failure}", Paint::stdout().red("failed:"));
        }
        let _ = writeln!(text, "\nbuilt in {}, tested in {}", elapsed(build), elapsed(tests));
        text + &format!("{} passed, {} failed", total.passed, total.failed)
    }

    fn table(&self) -> Table<5> {
        let head = [
            ("crate", Align::Left),
            ("passed", Align::Right),
            ("failed", Align::Right),
            ("ignored", Align::Right),
            ("time", Align::Right),
        ];
        let mut table = Table::new(head);
        for package in self.packages() {
            let counts = self.sum(|suite| suite.package == package);
            table.row(counts.tone(), counts.cells(package));
        }
        table.row(Tone::Plain, self.total().cells("total"));
        table
    }

    fn packages(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.suites.iter().map(|suite| suite.package.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn total(&self) -> Counts {
        self.sum(|_| true)
    }

    fn sum(&self, wanted: impl Fn(&Suite) -> bool) -> Counts {
        let suites = self.suites.iter().filter(|suite| wanted(suite));
        suites.filter_map(|suite| suite.counts).fold(Counts::default(), Counts::plus)
    }

    fn line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(package) = suite_name(line).and_then(|name| self.owners.get(name)) {
            self.suites.push(Suite { package: package.clone(), counts: None });
        } else if let (Some(counts), Some(suite)) = (Counts::parse(line), self.suites.last_mut()) {
            // The doc tests of one library may report more than once.
            suite.counts = Some(suite.counts.unwrap_or_default().plus(counts));
        } else if let (Some(test), Some(suite)) = (failed_test(line), self.suites.last()) {
            self.failures.push(format!("{} {test}", suite.package));
        }
    }
}

impl Counts {
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s`
    fn parse(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let number =
            |unit: &str| counts.split("; ").find_map(|part| part.strip_suffix(unit)?.trim().parse().ok());
        let seconds =
            counts.split("finished in ").nth(1).and_then(|time| time.trim_end_matches('s').parse().ok());
        Some(Self {
            passed: number("passed")?,
            failed: number("failed")?,
            ignored: number("ignored")?,
            seconds: seconds.unwrap_or(0.0),
        })
    }

    fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            ignored: self.ignored + other.ignored,
            seconds: self.seconds + other.seconds,
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self { failed: 1.., .. } => Tone::Bad,
            Self { passed: 0, .. } => Tone::Faint,
            _ => Tone::Good,
        }
    }

    fn cells(self, name: &str) -> [String; 5] {
        let time = elapsed(Duration::from_secs_f64(self.seconds));
        [name.to_owned(), self.passed.to_string(), self.failed.to_string(), self.ignored.to_string(), time]
    }
}

/// The program's file in `Running tests/it/main.rs (target/debug/deps/it-0123)`, or the library in
/// `Doc-tests aic_cache`.
fn suite_name(line: &str) -> Option<&str> {
    if let Some(library) = line.strip_prefix("Doc-tests ") {
        return Some(library.trim());
    }
    let (_, path) = line.strip_prefix("Running ")?.strip_suffix(')')?.rsplit_once('(')?;
    path.rsplit('/').next()
}

fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
     Running unittests src/lib.rs (target/debug/deps/aic_cache-01)
running 3 tests
test store::tests::expired_entry_is_a_miss ... FAILED
test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.50s
     Running tests/it/main.rs (target/debug/deps/it-02)
test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.25s
   Doc-tests aic_cache
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.25s
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn report() -> Report {
        let owners =
            ["aic_cache-01", "it-02", "aic_cache"].map(|suite| (suite.to_owned(), "aic-cache".to_owned()));
        Report::new(Suites::from(owners))
    }

    #[test]
    fn results_of_programs_and_doc_tests_add_up_by_crate() {
        let mut report = report();

        report.read(OUTPUT.as_bytes());
        report.finish(false);

        assert_eq!(report.packages(), ["aic-cache"]);
        assert_eq!(report.total(), Counts { passed: 8, failed: 1, ignored: 1, seconds: 2.0 });
        assert_eq!(report.failures, ["aic-cache store::tests::expired_entry_is_a_miss"]);
        assert!(!report.passed());
    }

    #[test]
    fn output_cut_anywhere_gives_the_same_counts() {
        for size in [1, 7, 64] {
            let mut report = report();

            OUTPUT.as_bytes().chunks(size).for_each(|chunk| report.read(chunk));

            assert_eq!(report.total().passed, 8, "pieces of {size} bytes");
        }
    }

    #[test]
    fn colours_do_not_hide_a_result() {
        let mut report = report();

        report.read(b"\x1b[1m\x1b[32m   Doc-tests\x1b[0m aic_cache\n");
        report.read(
            b"test result: \x1b[32mok\x1b[0m. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
        );

        assert_eq!(report.total().passed, 5);
    }

    #[test]
    fn program_that_dies_counts_as_one_failure() {
        let mut report = report();

        report.read(b"     Running tests/it/main.rs (target/debug/deps/it-02)\nrunning 3 tests\n");
        report.finish(false);

        assert_eq!(report.total().failed, 1);
        assert!(report.failures[0].contains("without a result"));
    }

    #[test]
    fn failed_run_never_ends_with_zero_failures() {
        let mut report = report();

        report.finish(false);

        assert!(!report.passed());
    }

    #[test]
    fn closing_line_stands_alone() {
        let mut report = report();

        report.read(OUTPUT.as_bytes());

        let summary = report.summary(Duration::from_secs(70), Duration::from_secs(2));
        assert_eq!(summary.lines().last(), Some("8 passed, 1 failed"));
        assert!(summary.contains("built in 1 min 10 s, tested in 2.0 s"), "{summary}");
    }

    #[test]
    fn other_lines_are_not_results() {
        assert_eq!(Counts::parse("test result: I made this up"), None);
        assert_eq!(
            suite_name("Running late (as always)").and_then(|name| report().owners.get(name).cloned()),
            None
        );
    }
}
