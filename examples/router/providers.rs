//! Who can be asked: whatever answers at its address or has its key set.
use std::env;
use std::error::Error;

use aic::router::{
    Anthropic, ApiKey, Gemini, Ollama, OpenAi, Provider, Purpose, Result, Router, RouterBuilder,
};
use anstream::eprintln;

use crate::chain;
use crate::show::DIM;

const NOTHING: &str = "nobody to ask was found. Do one of these:
  start Ollama (https://ollama.com), fetch a model with `router pull llama3.2:3b`; OLLAMA_HOST says where it is
  set GEMINI_API_KEY, ANTHROPIC_API_KEY or OPENAI_API_KEY
  set OPENAI_BASE_URL to a server that speaks OpenAI's protocol, as in http://localhost:8000/v1
`router failover` needs none of them";

/// A router over whatever is there. Says on standard error what was found.
pub(crate) async fn found() -> Result<Router, Box<dyn Error>> {
    let router = build(Router::builder()).await?;
    let chats = |provider: &dyn Provider| {
        let models = provider.info().models.iter();
        models.filter(|model| model.purpose == Purpose::Chat).count()
    };
    let found: Vec<_> = router.providers().map(|p| format!("{} ({})", p.info().name, chats(p))).collect();
    if router.providers().map(chats).sum::<usize>() == 0 {
        return Err(NOTHING.into());
    }
    eprintln!("{DIM}found (and models): {}{DIM:#}", found.join(", "));
    Ok(router)
}

/// Adds all that is found to `router`.
async fn build(mut router: RouterBuilder) -> Result<Router> {
    match ollama().await {
        Ok(ollama) => router = router.provider(ollama),
        Err(_) => eprintln!("{DIM}Ollama: nobody answers at {}{DIM:#}", ollama_url()),
    }
    if let Ok(key) = ApiKey::from_env("GEMINI_API_KEY") {
        router = router.provider(Gemini::new(key)?);
    }
    if let Ok(key) = ApiKey::from_env("ANTHROPIC_API_KEY") {
        router = router.provider(Anthropic::new(key)?);
    }
    if let Some(openai) = openai().await? {
        router = router.provider(openai);
    }
    router.build()
}

/// The Ollama that `OLLAMA_HOST` names, or the one on this machine, with what it has loaded looked up.
pub(crate) async fn ollama() -> Result<Ollama> {
    let ollama = Ollama::connect(&ollama_url()).await?;
    // Only for what is shown of it; where it fails, what is loaded is unknown.
    let _ = ollama.loaded().await;
    Ok(ollama)
}

/// `OLLAMA_HOST` may be a bare `host:port`, and `0.0.0.0` there means "listen everywhere".
pub(crate) fn ollama_url() -> String {
    let host = env::var("OLLAMA_HOST").ok().filter(|host| !host.is_empty());
    let host = host.unwrap_or_else(|| "127.0.0.1:11434".to_owned()).replace("0.0.0.0", "127.0.0.1");
    if host.contains("://") { host } else { format!("http://{host}") }
}

/// OpenAI itself, or the server that `OPENAI_BASE_URL` names, with the models it lists.
async fn openai() -> Result<Option<OpenAi>> {
    let key = ApiKey::from_env("OPENAI_API_KEY").ok();
    match (env::var("OPENAI_BASE_URL").ok().filter(|url| !url.is_empty()), key) {
        (Some(url), key) => Ok(compatible(&url, key).await),
        (None, Some(key)) => OpenAi::new(key).map(Some),
        (None, None) => Ok(None),
    }
}

async fn compatible(url: &str, key: Option<ApiKey>) -> Option<OpenAi> {
    let mut server = OpenAi::builder(url).name("openai");
    if let Some(key) = key {
        server = server.key(key);
    }
    match server.connect().await {
        Ok(server) => Some(server),
        Err(error) => {
            eprintln!("{DIM}OPENAI_BASE_URL, {url}: {}{DIM:#}", chain(&error));
            None
        }
    }
}
