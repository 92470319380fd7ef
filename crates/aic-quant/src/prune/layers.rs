//! Whole layers: which stay, and what their tensors are called then.
use crate::engine::Config;
use crate::gguf::Metadata;
use crate::{Error, Result};

/// The layers that stay.
pub(super) struct Layers {
    /// For each layer its new index, if it stays.
    indices: Vec<Option<usize>>,
}

impl Layers {
    /// # Errors
    /// [`Error::Option`] if there is no layer of an index, or no layer would be left.
    pub(super) fn without(config: &Config, remove: &[usize]) -> Result<Self> {
        let wrong = |value: String, expected| Err(Error::Option { option: "remove", value, expected });
        if let Some(beyond) = remove.iter().find(|index| **index >= config.layers) {
            return wrong(beyond.to_string(), "indices of the model's layers, from 0");
        }
        let mut left = 0..config.layers;
        let stays = |index| !remove.contains(&index);
        let indices: Vec<_> =
            (0..config.layers).map(|index| if stays(index) { left.next() } else { None }).collect();
        if indices.iter().all(Option::is_none) {
            return wrong(format!("{remove:?}"), "to leave at least one layer");
        }
        Ok(Self { indices })
    }

    /// What the tensor called `name` is called now; `None` if it goes.
    pub(super) fn rename(&self, name: &str) -> Option<String> {
        let Some((index, part)) = layer_of(name) else { return Some(name.to_owned()) };
        match self.indices.get(index) {
            // Not a layer of this model; whatever it is, it stays.
            None => Some(name.to_owned()),
            Some(index) => index.map(|index| format!("blk.{index}.{part}")),
        }
    }

    /// The metadata with the number of layers that are left, and which of them have a window if any had one.
    pub(super) fn describe(&self, metadata: &Metadata, config: &Config) -> Metadata {
        let mut metadata = metadata.clone();
        let left = self.indices.iter().flatten().count();
        let key = |name: &str| format!("{}.{name}", config.architecture.name());
        metadata.insert(key("block_count"), left as u32);
        let windows: Vec<bool> =
            (0..config.layers).map(|layer| config.layer(layer).window.is_some()).collect();
        if windows.contains(&true) {
            let kept = windows.iter().zip(&self.indices).filter(|(_, index)| index.is_some());
            let kept: Vec<bool> = kept.map(|(window, _)| *window).collect();
            metadata.insert(key("attention.sliding_window_pattern"), kept);
        }
        metadata
    }
}

/// The layer a tensor belongs to, and which it is there: `blk.3.attn_q.weight` is `attn_q.weight` of layer 3.
pub(super) fn layer_of(name: &str) -> Option<(usize, &str)> {
    let (index, part) = name.strip_prefix("blk.")?.split_once('.')?;
    Some((index.parse().ok()?, part))
}
