//! OpenAI Chat Completions, as spoken by OpenAI, vLLM, llama.cpp's server and many others.
//!
//! Fields are those of OpenAI's [reference](https://platform.openai.com/docs/api-reference/chat). Where other
//! servers depart from it, the place that reads them says who does.

mod body;
mod calls;
mod chunks;
mod embeddings;
mod models;
mod phrase;
mod plain;
mod usage;

pub(crate) use body::{Dialect, chat_body};
pub(crate) use calls::{Calls, Fragment};
pub(crate) use chunks::OpenAiChunks;
pub(crate) use embeddings::{base64_body, embeddings, vector};
pub(crate) use models::models;
pub(crate) use phrase::{effort, image_url, optional, result_text, unsupported};
