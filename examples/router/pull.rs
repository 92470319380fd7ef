//! A download with its bytes, its speed and the time it still takes.
use std::collections::HashMap;
use std::io::IsTerminal;

use aic::router::PullProgress;
use anstream::{eprintln, println};
use futures_util::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{Outcome, chain, providers};

const BAR: &str = "{wide_bar:.cyan/blue} {percent:>3} %  {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}, {eta} left";

pub(crate) async fn pull(model: &str) -> Outcome {
    let ollama = providers::ollama().await.map_err(|error| {
        let (url, why) = (providers::ollama_url(), chain(&error));
        format!(
            "no Ollama to download with at {url}: {why}\n\
             install it from https://ollama.com/download and start it with `ollama serve`, or say in OLLAMA_HOST \
             where it is"
        )
    })?;
    let mut steps = ollama.pull(model).await?;
    let mut download = Download::new()?;
    while let Some(step) = steps.try_next().await? {
        download.show(step);
    }
    download.bar.finish_and_clear();
    println!("{model} is here; try `router ask --model {model} \"Why is the sky blue?\"`");
    Ok(())
}

/// What was seen of a download so far: the bytes here and the bytes in all, of each layer.
struct Download {
    bar: ProgressBar,
    layers: HashMap<String, (u64, u64)>,
    status: String,
}

impl Download {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(BAR)?);
        Ok(Self { bar, layers: HashMap::new(), status: String::new() })
    }

    fn show(&mut self, step: PullProgress) {
        if let (Some(layer), Some(here), Some(all)) = (step.digest, step.completed_bytes, step.total_bytes) {
            self.layers.insert(layer, (here, all));
            self.bar.set_length(self.layers.values().map(|(_, all)| all).sum());
            self.bar.set_position(self.layers.values().map(|(here, _)| here).sum());
        }
        // The bar is drawn on terminals only; elsewhere each new status is a line.
        if step.status != self.status && !std::io::stderr().is_terminal() {
            eprintln!("{}", step.status);
        }
        self.status = step.status;
    }
}
