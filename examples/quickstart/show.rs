//! What a person sees: colours and a progress bar in a terminal, plain lines when piped, nothing with `--json`.
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aic::monitor::Machine;
use aic::profiles::Recommendation;
use aic::{Answer, Explanation, Finding, FindingState, Origin, Progress, Status, Step};
use anstream::{eprintln, print, println};
use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;

pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const LABEL: Style = AnsiColor::Cyan.on_default().bold();
const BOLD: Style = Style::new().bold();

/// The column that text starts in, after the label.
const INDENT: usize = 11;
const BAR: &str =
    "{prefix:.cyan.bold} {bar:32.cyan/blue} {percent:>3} %  {binary_bytes}/{binary_total_bytes}  {msg}";

/// Logs go to standard error, and only those that `RUST_LOG` asks for: what matters is shown anyway.
pub(crate) fn logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Ends the program at once: a model that is being loaded would be waited for otherwise.
pub(crate) fn interrupted() -> ! {
    eprintln!("\nstopped");
    std::process::exit(130)
}

/// Where the run is shown. Clones show to the same place.
#[derive(Clone)]
pub(crate) struct Show {
    silent: bool,
    bar: Arc<Mutex<Option<ProgressBar>>>,
}

impl Show {
    pub(crate) fn to_terminal() -> Self {
        Self { silent: false, bar: Arc::default() }
    }

    pub(crate) fn silent() -> Self {
        Self { silent: true, bar: Arc::default() }
    }

    pub(crate) fn step(&self, step: Step<'_>) {
        match step {
            Step::Machine(machine) => self.row("machine", &described(machine)),
            Step::Profile(recommendation) => self.profile(recommendation),
            Step::Loading(progress) => self.loading(progress),
            _ => {}
        }
    }

    fn profile(&self, recommendation: &Recommendation) {
        let profile = &recommendation.profile;
        let (level, context) = (&profile.level.value, profile.context_length.value);
        let class = &profile.threads.origin;
        self.row(
            "profile",
            &format!("{BOLD}{level}{BOLD:#}, context {context}, {} threads ({class})", profile.threads.value),
        );
        for reason in &recommendation.reasons {
            self.row("", &format!("{DIM}· {reason}{DIM:#}"));
        }
    }

    fn loading(&self, progress: Progress) {
        if self.silent || !std::io::stderr().is_terminal() {
            return;
        }
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bar.get_or_insert_with(|| new_bar(progress.total_bytes));
        bar.set_position(progress.done_bytes);
        if progress.done_bytes >= progress.total_bytes {
            bar.finish_with_message("loaded");
            eprintln!(); // The finished bar keeps its line.
        }
    }

    pub(crate) fn findings(&self, findings: &[Finding]) {
        for (index, finding) in findings.iter().enumerate() {
            let label = if index == 0 { "found" } else { "" };
            let style = match finding.state {
                FindingState::Used => GOOD,
                FindingState::Broken => BAD,
                _ => DIM,
            };
            self.row(label, &format!("{style}{finding}{style:#}"));
        }
    }

    /// What the local model says of itself.
    pub(crate) fn model(&self, description: Option<&str>) {
        if let Some(description) = description {
            self.row("model", &format!("{DIM}{description}{DIM:#}"));
        }
    }

    pub(crate) fn question(&self, question: &str) {
        self.line("");
        self.row("you", &format!("{BOLD}{question}{BOLD:#}"));
        if !self.silent {
            print!("{LABEL}{:INDENT$}{LABEL:#}", "answer");
        }
    }

    pub(crate) fn text(&self, text: &str) {
        if !self.silent {
            print!("{}", text.replace('\n', &format!("\n{:INDENT$}", "")));
            let _ = std::io::stdout().flush(); // A closed pipe shows at the next line.
        }
    }

    pub(crate) fn answered(&self, answer: &Answer) {
        self.line("");
        let mut facts = vec![format!("{}/{}", answer.provider, answer.model)];
        match &answer.origin {
            Origin::Cache { tier, age, .. } => {
                facts.push(format!("from the cache ({tier}), {} old", human(*age)));
            }
            _ => facts.push(format!("first text after {}", human(answer.first_text))),
        }
        facts.extend(answer.tokens_per_second().map(|rate| format!("{rate:.0} tokens/s")));
        facts.extend(answer.usage.map(|usage| format!("{} + {} tokens", usage.input, usage.output)));
        facts.push(answer.cost.map_or("cost unknown".to_owned(), |cost| cost.to_string()));
        self.row("", &format!("{DIM}{}{DIM:#}", facts.join(" · ")));
    }

    pub(crate) fn again(&self, first: &Answer, again: &Answer) {
        let line = match &again.origin {
            Origin::Cache { tier, .. } => format!(
                "{GOOD}the same from the cache ({tier}){GOOD:#} in {BOLD}{}{BOLD:#} instead of {}{}",
                human(again.elapsed),
                human(first.elapsed),
                faster(first.elapsed, again.elapsed),
            ),
            _ => format!(
                "asked {}/{} once more, {}: the cache is off",
                again.provider,
                again.model,
                human(again.elapsed)
            ),
        };
        self.row("again", &line);
    }

    pub(crate) fn route(&self, question: &str, route: &Explanation, findings: &[Finding]) {
        self.line("");
        self.row("route", &format!("{BOLD}{question}{BOLD:#}"));
        for line in route.to_string().lines() {
            self.row("", line);
        }
        let absent = |finding: &&Finding| !matches!(finding.subject.as_str(), "GPU" | "Redis" | "Cache");
        for finding in findings.iter().filter(|finding| finding.state != FindingState::Used).filter(absent) {
            self.row("", &format!("{DIM}  {} is not considered: {}{DIM:#}", finding.subject, finding.note));
        }
    }

    pub(crate) fn status(&self, status: &Status) {
        self.line("");
        for (index, line) in status.to_string().lines().enumerate() {
            self.row(if index == 0 { "status" } else { "" }, line);
        }
    }

    pub(crate) fn total(&self, to_first_text: Duration, total: Duration) {
        let line =
            format!("first text {} after the start, everything in {}", human(to_first_text), human(total));
        self.row("time", &line);
    }

    fn row(&self, label: &str, text: &str) {
        self.line(&format!("{LABEL}{label:INDENT$}{LABEL:#}{text}"));
    }

    fn line(&self, line: &str) {
        if !self.silent {
            println!("{line}");
        }
    }
}

fn new_bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style.progress_chars("━╸─")).with_prefix(format!(
        "{:width$}",
        "loading",
        width = INDENT - 1
    ))
}

fn described(machine: &Machine) -> String {
    let processor = &machine.processor;
    let mut parts = vec![processor.brand.clone().unwrap_or_else(|| machine.architecture.to_owned())];
    parts.extend(processor.physical_cores.or(processor.logical_cores).map(|cores| format!("{cores} cores")));
    parts.push(processor.features.join(" "));
    parts.extend(machine.memory.as_ref().map(|memory| {
        format!("{:.1} GiB memory, {:.1} free", gib(memory.total_bytes), gib(memory.available_bytes))
    }));
    parts.push(match machine.gpus() {
        [] => "no GPU".to_owned(),
        gpus => gpus.iter().filter_map(|gpu| gpu.name.clone()).collect::<Vec<_>>().join(", "),
    });
    parts.retain(|part| !part.is_empty());
    parts.join(" · ")
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn faster(before: Duration, now: Duration) -> String {
    let factor = before.as_secs_f64() / now.as_secs_f64().max(1e-9);
    if factor >= 2.0 { format!(": {factor:.0} times faster") } else { String::new() }
}

/// `38 µs`, `4.2 ms`, `1.7 s`, `3 min`, `2 h`, `5 days`.
fn human(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}
