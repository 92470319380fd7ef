//! `quantize compress`: a model file packed for storage and transport.
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aic::quant::compress::{Method, PackOptions, pack, unpack};

use crate::{Done, show};

/// Pack a model file with zstd or gzip, or unpack it
#[derive(clap::Args)]
pub(crate) struct Arguments {
    input: PathBuf,
    /// Ends in .gz for gzip, in anything else for zstd
    output: PathBuf,
    /// How hard to try: 1 to 19 for zstd, 1 to 9 for gzip
    #[arg(long)]
    level: Option<u32>,
    /// Unpack instead
    #[arg(long, short = 'd', conflicts_with = "level")]
    unpack: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Done {
    let bar = show::share_bar();
    let Arguments { input, output, .. } = arguments;
    if arguments.unpack {
        let bytes = unpack(input, output, |share| bar.set_position((share * 1000.0) as u64));
        bar.finish_and_clear();
        println!("{} in {}", show::size(bytes?), output.display());
        return Ok(ExitCode::SUCCESS);
    }
    let mut options = PackOptions::default();
    options.method = method(output);
    options.level = arguments.level;
    let packed = pack(input, output, &options, |share| bar.set_position((share * 1000.0) as u64));
    bar.finish_and_clear();
    let packed = packed?;
    let share = packed.after_bytes as f64 * 100.0 / packed.before_bytes.max(1) as f64;
    println!("{} to {}, {share:.1} %", show::size(packed.before_bytes), show::size(packed.after_bytes));
    if let Some(advice) = packed.advice {
        println!("warning: {advice}");
    }
    Ok(ExitCode::SUCCESS)
}

fn method(output: &Path) -> Method {
    if output.extension().is_some_and(|ending| ending == "gz") { Method::Gzip } else { Method::Zstd }
}
