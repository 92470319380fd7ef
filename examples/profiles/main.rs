//! What this machine should run: for a small, a medium and a large model the recommended quantization with its reasons,
//! and the whole profile with the origin of each setting, a user's own on top.
use std::error::Error;

use aic::profiles::{Catalog, Goal, Hardware, KvShape, ModelNeeds, Recommendation, recommend};
use clap::{Parser, ValueEnum};
use serde_json::json;

/// Recommend a quantization for this machine, and say why.
#[derive(Parser)]
struct Options {
    /// What matters most
    #[arg(long, value_enum, default_value_t = Aim::Balanced)]
    goal: Aim,
    /// Tokens of context for each request
    #[arg(long, default_value_t = 4096)]
    context: u32,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Aim {
    Balanced,
    Quality,
    Speed,
    Memory,
}

const OWN: &str = r#"
[office]
inherits = "chat"
max_concurrency = 3
keep_warm_seconds = 3600
"#;

fn main() -> Result<(), Box<dyn Error>> {
    sigpipe::reset();
    let options = Options::parse();
    let hardware = Hardware::detect();
    let advice = models().map(|(name, model)| {
        (name, recommend(&hardware, &model.context_length(options.context), options.goal.into()))
    });
    let base =
        advice.iter().find_map(|(_, advice)| advice.as_ref().ok()).map(|advice| advice.profile.clone());
    let profile =
        Catalog::builtin().with_toml(OWN)?.overlay("office", base.unwrap_or_default(), &hardware)?;
    if options.json {
        let advice: Vec<_> = advice.iter().map(as_json).collect();
        let all = json!({ "hardware": hardware, "advice": advice, "profile": profile });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    show_hardware(&hardware);
    for (name, advice) in &advice {
        match advice {
            Ok(advice) => print!("\n{name}: {advice}"),
            Err(error) => println!("\n{name}: {error}"),
        }
    }
    print!("\nthe first model's profile, with the user's `office` on top\n{profile}");
    Ok(())
}

/// Models of three sizes, by their published shapes.
fn models() -> [(&'static str, ModelNeeds); 3] {
    let model = |parameters, layers, kv_heads, head_dim| {
        ModelNeeds::new(parameters, KvShape { layers, kv_heads, head_dim })
    };
    [
        ("a model of 2 million weights", model(2_000_000, 4, 4, 32)),
        ("Llama 3.1 8B", model(8_030_261_248, 32, 8, 128)),
        ("Llama 3.1 70B", model(70_553_706_496, 80, 8, 128)),
    ]
}

fn show_hardware(hardware: &Hardware) {
    let gib =
        |bytes: Option<u64>| bytes.map_or("?".to_owned(), |b| format!("{:.1}", b as f64 / (1 << 30) as f64));
    let cores = hardware.cpu.cores.map_or("?".to_owned(), |cores| cores.to_string());
    let memory = &hardware.memory;
    println!("{cores} cores, {} of {} GiB free", gib(memory.available_bytes), gib(memory.total_bytes));
    for gpu in &hardware.gpus {
        println!("{}, {} of {} GiB free", gpu.name, gib(gpu.free_bytes), gib(gpu.total_bytes));
    }
}

fn as_json((name, advice): &(&str, aic::profiles::Result<Recommendation>)) -> serde_json::Value {
    match advice {
        Ok(advice) => {
            json!({ "model": name, "choice": advice.choice, "reasons": advice.reasons, "rejected": advice.rejected })
        }
        Err(error) => json!({ "model": name, "error": error.to_string() }),
    }
}

impl From<Aim> for Goal {
    fn from(aim: Aim) -> Self {
        match aim {
            Aim::Balanced => Self::Balanced,
            Aim::Quality => Self::Quality,
            Aim::Speed => Self::Speed,
            Aim::Memory => Self::Memory,
        }
    }
}
