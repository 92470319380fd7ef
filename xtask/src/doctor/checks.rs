//! The things that are looked for.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::process::{self, find, try_read};
use crate::test::{Environment, python_folder};
use crate::workspace::Workspace;

use super::network;
use super::version::at_least;
use super::{Finding, State};

const API_KEYS: [&str; 3] = ["ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY"];
const PATIENCE: Duration = Duration::from_secs(5);
const INSTALLED_BY_TESTS: &str = "`cargo xtask test` installs it";

/// What a full build with its tests needs on the disk.
const ROOM_GIB: u64 = 10;

/// All findings, by section.
pub(crate) fn all(workspace: &Workspace) -> [(&'static str, Vec<Finding>); 3] {
    [
        ("to build", vec![toolchain(workspace), c_compiler(), disk(workspace)]),
        ("to test", vec![python(), redis_server(), mosquitto(), onnxruntime(workspace)]),
        ("at run time", vec![gpu(), ollama(), api_keys(), redis()]),
    ]
}

fn toolchain(workspace: &Workspace) -> Finding {
    let least =
        workspace.packages.iter().find_map(|package| package.rust_version.as_deref()).unwrap_or("1.0");
    let subject = "Rust";
    let Some(version) =
        read("rustc", &["--version"]).and_then(|text| text.split(' ').nth(1).map(str::to_owned))
    else {
        return missing(subject, "rustc does not answer", "install Rust from https://rustup.rs");
    };
    if at_least(&version, least) == Some(false) {
        return missing(subject, &format!("{version}, older than {least}"), "rustup update stable");
    }
    here(subject, format!("{version} ({least} or newer is needed)"))
}

fn c_compiler() -> Finding {
    let named = env::var("CC").ok().filter(|name| !name.is_empty());
    let found = named.as_deref().and_then(|name| find(&[name])).or_else(|| find(&["cc", "gcc", "clang"]));
    found.map_or_else(
        || missing("C compiler", "none in PATH", "apt-get install gcc libc6-dev, or xcode-select --install"),
        |path| here("C compiler", path.display().to_string()),
    )
}

fn disk(workspace: &Workspace) -> Finding {
    let subject = "disk";
    let Some(free) = free_bytes(&workspace.target) else {
        return Finding { subject, state: State::Here, detail: "free space unknown".to_owned(), fix: None };
    };
    let gib = free >> 30;
    let detail = format!("{gib} GiB free for target/");
    if gib < ROOM_GIB {
        return lacking(
            subject,
            &detail,
            &format!("a full build takes up to {ROOM_GIB} GiB; CARGO_TARGET_DIR moves it"),
        );
    }
    here(subject, detail)
}

fn python() -> Finding {
    read("python3", &["--version"]).map_or_else(
        || {
            lacking(
                "Python 3",
                "not here; some tests compare with it",
                "apt-get install python3-venv, or brew install python",
            )
        },
        |version| here("Python 3", version.trim_start_matches("Python ").to_owned()),
    )
}

fn redis_server() -> Finding {
    program("redis-server", &["redis-server", "valkey-server"])
}

fn mosquitto() -> Finding {
    program("mosquitto", &["mosquitto"])
}

fn onnxruntime(workspace: &Workspace) -> Finding {
    let named = env::var_os("AIC_TEST_ONNXRUNTIME_LIB").map(PathBuf::from).filter(|path| path.is_file());
    let found = named.or_else(|| Some(Environment::find(&python_folder(&workspace.target))?.onnxruntime));
    found.map_or_else(
        || lacking("onnxruntime", "not here", INSTALLED_BY_TESTS),
        |path| here("onnxruntime", short(&path)),
    )
}

fn gpu() -> Finding {
    let query = ["--query-gpu=name,driver_version", "--format=csv,noheader"];
    if let Some(names) = read("nvidia-smi", &query) {
        return here("NVIDIA GPU", names.trim().replace('\n', "; "));
    }
    let fix = "no GPU is needed; with one, install NVIDIA's driver, which brings NVML";
    if has_nvml() {
        return lacking("NVIDIA GPU", "libnvidia-ml.so.1 is here but finds no GPU", fix);
    }
    lacking("NVIDIA GPU", "no driver (nvidia-smi, libnvidia-ml.so.1)", fix)
}

fn ollama() -> Finding {
    let host = env::var("OLLAMA_HOST").unwrap_or_default().replace("0.0.0.0", "127.0.0.1");
    let authority = network::authority(&host, 11434);
    if network::http_answers(&authority, "/api/version") {
        return here("Ollama", format!("answers at {authority}"));
    }
    lacking(
        "Ollama",
        &format!("no answer at {authority}"),
        "start it with `ollama serve`, or set OLLAMA_HOST",
    )
}

fn api_keys() -> Finding {
    let set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let names: Vec<&str> = API_KEYS.into_iter().filter(set).collect();
    if names.is_empty() {
        return lacking("API keys", "none is set", &format!("set {}", API_KEYS.join(" or ")));
    }
    here("API keys", format!("{} (set, not tried)", names.join(", ")))
}

fn redis() -> Finding {
    let Some(url) = env::var("REDIS_URL").ok().filter(|url| !url.is_empty()) else {
        return lacking("Redis", "REDIS_URL is not set", "only a cache shared by several programs needs it");
    };
    let authority = network::authority(&url, 6379);
    let encrypted = url.starts_with("rediss://");
    if if encrypted { network::accepts(&authority) } else { network::redis_answers(&authority) } {
        return here("Redis", format!("answers at {authority}"));
    }
    lacking(
        "Redis",
        &format!("no answer at {authority}"),
        "start the server that REDIS_URL names, or unset it",
    )
}

fn program(subject: &'static str, names: &[&str]) -> Finding {
    find(names).map_or_else(
        || lacking(subject, "not here", INSTALLED_BY_TESTS),
        |path| here(subject, path.display().to_string()),
    )
}

fn here(subject: &'static str, detail: String) -> Finding {
    Finding { subject, state: State::Here, detail, fix: None }
}

fn lacking(subject: &'static str, detail: &str, fix: &str) -> Finding {
    Finding { subject, state: State::Optional, detail: detail.to_owned(), fix: Some(fix.to_owned()) }
}

fn missing(subject: &'static str, detail: &str, fix: &str) -> Finding {
    Finding { state: State::Missing, ..lacking(subject, detail, fix) }
}

fn read(program: &str, args: &[&str]) -> Option<String> {
    try_read(Command::new(program).args(args), PATIENCE).map(|text| text.trim().to_owned())
}

fn has_nvml() -> bool {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/lib/wsl/lib",
    ];
    folders.iter().any(|folder| PathBuf::from(folder).join("libnvidia-ml.so.1").exists())
}

/// What `df` says about the nearest folder above `path` that exists.
fn free_bytes(path: &std::path::Path) -> Option<u64> {
    let folder = path.ancestors().find(|folder| folder.is_dir())?;
    let text = try_read(Command::new("df").arg("-Pk").arg(folder), PATIENCE)?;
    available(&text)
}

/// The fourth column of the second line of `df -Pk`, in kibibytes.
fn available(df: &str) -> Option<u64> {
    let kibibytes: u64 = df.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn short(path: &std::path::Path) -> String {
    path.strip_prefix(process::root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_the_available_column() {
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda1 100 40 60 40% /\n";

        assert_eq!(available(df), Some(60 * 1024));
        assert_eq!(available("no table"), None);
    }
}
