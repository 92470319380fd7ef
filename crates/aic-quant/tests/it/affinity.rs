//! Threads stay on the cores they are told to. Each case runs in a process of its own, this program started once more, so that
//! its threads are those of one model.
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use aic_quant::{Affinity, GenerateOptions, Model};

/// The test whose process loads a model.
const TEST: &str = "affinity::threads_stay_on_the_cores_they_are_told_to";
/// What it is told to do.
const CASE: &str = "AIC_TEST_AFFINITY";

/// The cores that a thread may run on, as `0-3,8`.
fn allowed(status: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap().trim().to_owned()
}

fn here() -> String {
    allowed(&fs::read_to_string("/proc/thread-self/status").unwrap())
}

/// The numbers in `0-3,8`.
fn numbers(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<usize>().unwrap()..=last.parse().unwrap()
    };
    list.split(',').flat_map(range).collect()
}

/// Of each of the model's threads, by name, the cores it may run on.
fn threads() -> BTreeMap<String, String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let thread = |task: fs::DirEntry| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?.trim().to_owned();
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        name.starts_with("aic-").then(|| (name, allowed(&status)))
    };
    tasks.filter_map(|task| thread(task.unwrap())).collect()
}

/// Answers until the threads have begun, which a busy machine may put off for a while; gives up in the end.
fn answer_until(model: &Model, begun: impl Fn() -> bool) {
    let options = GenerateOptions { max_tokens: 3, ..GenerateOptions::default() };
    for _ in 0..1000 {
        model.complete_tokens(&[1, 2, 3], &options).unwrap().text().unwrap();
        if begun() {
            return;
        }
    }
}

/// Loads a model on as many threads as there are cores, and answers with it.
fn run(case: &str) {
    let all = here();
    let cores = numbers(&all);
    let backwards: Vec<usize> = cores.iter().rev().copied().collect();
    let affinity = match case {
        "free" => Affinity::Free,
        "spread" => Affinity::Spread,
        _ => Affinity::Cores(backwards.clone()),
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/models/llama3.gguf");
    let model = Model::options().threads(cores.len()).affinity(affinity).open(path).unwrap();
    answer_until(&model, || {
        case == "free" || threads().values().all(|list| *list != all || cores.len() == 1)
    });

    // The thread that answers comes first, then those that compute with it.
    let threads = threads();
    let name = |index: usize| if index == 0 { "aic-serve".to_owned() } else { format!("aic-kernel-{index}") };
    let on: Vec<&str> = (0..cores.len()).map(|index| threads[&name(index)].as_str()).collect();
    assert_eq!(threads.len(), cores.len());
    match case {
        "free" => assert!(on.iter().all(|list| **list == all), "{on:?}"),
        "spread" => {
            let mut on: Vec<usize> = on.iter().map(|core| core.parse().unwrap()).collect();
            on.sort_unstable();
            assert_eq!(on, cores);
        }
        _ => assert_eq!(on, backwards.iter().map(ToString::to_string).collect::<Vec<_>>()),
    }
    assert_eq!(here(), all, "the thread that loads a model is not the model's");
}

#[test]
fn threads_stay_on_the_cores_they_are_told_to() {
    if let Ok(case) = env::var(CASE) {
        return run(&case);
    }
    for case in ["free", "spread", "cores"] {
        let output = Command::new(env::current_exe().unwrap())
            .args([TEST, "--exact", "--nocapture"])
            .env(CASE, case)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{case}: {said}");
    }
}
