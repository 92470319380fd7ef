//! `generate estimate`: what a model would need, before it is loaded.
use aic::quant::{Footprint, Footprints, footprints};

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
    let needs = footprints(&*source, &arguments.load.options())?;
    if arguments.json {
        println!("{}", json(&needs));
    } else {
        print!("{}", table(&needs));
    }
    Ok(())
}

/// A column for each side that has layers.
fn table(needs: &Footprints) -> String {
    let host = needs.layers - needs.device_layers;
    let sides = [("device", needs.device_layers, needs.device), ("main memory", host, needs.host)];
    let sides: Vec<_> = sides.into_iter().filter(|(_, layers, _)| *layers > 0).collect();
    let row = |name: &str, cell: &dyn Fn(&(&str, usize, Footprint)) -> String| {
        let cells: String = sides.iter().map(|side| format!(" {:>12}", cell(side))).collect();
        format!("{name:<9}{cells}\n")
    };
    [
        row("", &|side| side.0.to_owned()),
        row("layers", &|side| side.1.to_string()),
        row("weights", &|side| show::size(side.2.weights_bytes)),
        row("cache", &|side| show::size(side.2.cache_bytes)),
        row("working", &|side| show::size(side.2.working_bytes)),
        row("together", &|side| show::size(side.2.total_bytes())),
    ]
    .concat()
}

fn json(needs: &Footprints) -> serde_json::Value {
    let mut all = side(&needs.together());
    all["layers"] = needs.layers.into();
    all["device_layers"] = needs.device_layers.into();
    all["device"] = side(&needs.device);
    all["host"] = side(&needs.host);
    all
}

fn side(needs: &Footprint) -> serde_json::Value {
    serde_json::json!({
        "weights_bytes": needs.weights_bytes,
        "cache_bytes": needs.cache_bytes,
        "working_bytes": needs.working_bytes,
        "total_bytes": needs.total_bytes(),
    })
}
