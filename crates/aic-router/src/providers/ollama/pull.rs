use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wire::remote::LineStream;
use crate::{ErrorKind, ProviderError};

/// How far the download of a model is.
///
/// A model comes in several layers, one after the other or a few at a time; the numbers are those of the layer
/// that `digest` names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PullProgress {
    /// What is being done, in Ollama's words: `pulling manifest`, `verifying sha256 digest`; `success` last.
    pub status: String,
    /// The layer that is being downloaded; `None` where none is.
    pub digest: Option<String>,
    /// How much of the layer is here; `None` where none is being downloaded.
    pub completed_bytes: Option<u64>,
    /// How large the layer is; `None` where none is being downloaded.
    pub total_bytes: Option<u64>,
}

impl PullProgress {
    fn read(line: &Value) -> Result<Self, ProviderError> {
        let no_status = || ProviderError::new(ErrorKind::Malformed, "a line of the download has no status");
        let total_bytes = line["total"].as_u64();
        Ok(Self {
            status: line["status"].as_str().ok_or_else(no_status)?.into(),
            digest: line["digest"].as_str().map(str::to_owned),
            // Ollama leaves out the 0 of a layer that has just been begun.
            completed_bytes: total_bytes.map(|_| line["completed"].as_u64().unwrap_or_default()),
            total_bytes,
        })
    }

    /// Whether the model is here whole.
    fn is_last(&self) -> bool {
        self.status == "success"
    }
}

/// The progress in `lines`, up to success; an end without it is an error, and nothing follows an error.
pub(super) fn progress(lines: LineStream) -> BoxStream<'static, Result<PullProgress, ProviderError>> {
    stream::try_unfold(Some(lines), |lines| async move {
        let Some(mut lines) = lines else {
            return Ok(None);
        };
        let line = lines.try_next().await?.ok_or_else(cut)?;
        let progress = PullProgress::read(&line)?;
        let rest = (!progress.is_last()).then_some(lines);
        Ok(Some((progress, rest)))
    })
    .boxed()
}

fn cut() -> ProviderError {
    ProviderError::new(ErrorKind::Truncated, "the download ended before the model was whole")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn read(lines: Vec<Value>) -> (Vec<PullProgress>, Option<ErrorKind>) {
        let mut progress = progress(stream::iter(lines.into_iter().map(Ok)).boxed());
        let mut seen = Vec::new();
        loop {
            match progress.next().await {
                Some(Ok(step)) => seen.push(step),
                Some(Err(error)) => {
                    assert!(progress.next().await.is_none(), "nothing follows an error");
                    return (seen, Some(error.kind().clone()));
                }
                None => return (seen, None),
            }
        }
    }

    #[tokio::test]
    async fn lines_become_progress_up_to_success() {
        let lines = vec![
            json!({"status": "pulling manifest"}),
            json!({"status": "pulling abc", "digest": "sha256:abc", "total": 10}),
            json!({"status": "pulling abc", "digest": "sha256:abc", "total": 10, "completed": 10}),
            json!({"status": "success"}),
            json!({"status": "late"}),
        ];

        let (seen, error) = read(lines).await;

        let completed: Vec<_> = seen.iter().map(|step| step.completed_bytes).collect();
        assert_eq!((completed, error), (vec![None, Some(0), Some(10), None], None));
        assert_eq!((seen[2].digest.as_deref(), seen[2].total_bytes), (Some("sha256:abc"), Some(10)));
    }

    #[tokio::test]
    async fn download_without_its_success_is_cut() {
        let (seen, error) = read(vec![json!({"status": "pulling manifest"})]).await;

        assert_eq!((seen.len(), error), (1, Some(ErrorKind::Truncated)));
    }

    #[tokio::test]
    async fn line_that_is_no_progress_is_malformed() {
        let (_, error) = read(vec![json!({"state": "pulling"})]).await;

        assert_eq!(error, Some(ErrorKind::Malformed));
    }
}
