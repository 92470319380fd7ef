//! A hardware profile as Ollama's options: the facade's part of running a server's models as this machine is.
use std::time::Duration;

use aic_profiles::{Hardware, Profile, UseCase};
use aic_router::{OllamaBuilder, OllamaOptions};

/// Tells an Ollama on this machine how many threads compute here and how long a model stays loaded.
///
/// Layers on the GPU are left to Ollama, which knows what else it has loaded.
pub(crate) fn on_this_machine(ollama: OllamaBuilder, hardware: &Hardware) -> OllamaBuilder {
    let profile = Profile::for_machine(hardware, UseCase::Chat);
    let options = OllamaOptions { threads: Some(profile.threads.value.get()), ..OllamaOptions::default() };
    ollama.options(options).keep_alive(Duration::from_secs(profile.keep_warm_seconds.value))
}
