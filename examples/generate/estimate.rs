//! `generate estimate`: what a model would need, before it is loaded.
use aic::quant::{Footprint, footprint};

use crate::{Done, load, show};

/// Print the memory a model needs
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    load: load::Arguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let source = aic::quant::open(arguments.load.model()?)?;
    let needs = footprint(&*source, &arguments.load.options())?;
    if arguments.json {
        println!("{}", json(&needs));
        return Ok(());
    }
    let rows = [
        ("weights", needs.weights_bytes),
        ("cache", needs.cache_bytes),
        ("working", needs.working_bytes),
        ("together", needs.total_bytes()),
    ];
    for (name, bytes) in rows {
        println!("{name:<9} {:>12}", show::size(bytes));
    }
    Ok(())
}

fn json(needs: &Footprint) -> serde_json::Value {
    serde_json::json!({
        "weights_bytes": needs.weights_bytes,
        "cache_bytes": needs.cache_bytes,
        "working_bytes": needs.working_bytes,
        "total_bytes": needs.total_bytes(),
    })
}
