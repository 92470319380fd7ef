//! Where answers are kept, and who gives them.
use std::error::Error;
use std::path::{Path, PathBuf};

use aic::config::CacheConfig;
use aic::{Aic, Config, Environment, FindingState};
use anstream::eprintln;
use clap::Args;

use crate::show::DIM;

/// Where answers are kept, and who gives them.
#[derive(Args)]
pub(crate) struct Place {
    /// Keep answers here [default: $AIC_CACHE_DIR, else aic-cache-example among the temporary files]
    #[arg(long, value_name = "DIR", global = true)]
    folder: Option<PathBuf>,
    /// Ask Ollama and the clouds whose keys are set, too; that may cost money
    #[arg(long, global = true)]
    providers: bool,
}

impl Place {
    pub(crate) fn folder(&self) -> PathBuf {
        let named = self.folder.clone().or_else(|| std::env::var_os("AIC_CACHE_DIR").map(PathBuf::from));
        named
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or_else(|| std::env::temp_dir().join("aic-cache-example"))
    }

    /// Everything wired together, over the folder and Redis.
    pub(crate) async fn open(&self) -> Result<Aic, Box<dyn Error>> {
        let mut config = self.config()?;
        if !self.providers {
            without_providers(&mut config);
        }
        opened(config).await
    }

    /// The same for those who ask nothing: no model is loaded.
    pub(crate) async fn open_stores(&self) -> Result<Aic, Box<dyn Error>> {
        let mut config = self.config()?;
        without_providers(&mut config);
        config.model.enabled = false;
        opened(config).await
    }

    fn config(&self) -> aic::Result<Config> {
        let mut config = Config::load(&Environment::of_process())?;
        config.cache.folder = Some(self.folder());
        config.cache.enabled = true;
        Ok(config)
    }
}

/// The demonstration model over `folder` and nothing else, so that nothing is spent, and what is kept is known.
pub(crate) async fn alone(
    folder: &Path,
    change: impl FnOnce(&mut CacheConfig),
) -> Result<Aic, Box<dyn Error>> {
    let mut config = Config::default();
    without_providers(&mut config);
    config.cache.folder = Some(folder.to_owned());
    change(&mut config.cache);
    opened(config).await
}

fn without_providers(config: &mut Config) {
    let providers = &mut config.providers;
    for provider in
        [&mut providers.ollama, &mut providers.gemini, &mut providers.anthropic, &mut providers.openai]
    {
        provider.enabled = false;
    }
}

/// The facade goes on without a folder it cannot use; here the folder is the point. Redis may be down.
async fn opened(mut config: Config) -> Result<Aic, Box<dyn Error>> {
    config.monitor.enabled = false;
    let ai = Aic::builder().config(config).build().await?;
    for finding in ai.findings().iter().filter(|finding| finding.state == FindingState::Broken) {
        if finding.subject == "Cache folder" {
            return Err(finding.note.clone().into());
        }
        eprintln!("{DIM}{finding}{DIM:#}");
    }
    Ok(ai)
}
