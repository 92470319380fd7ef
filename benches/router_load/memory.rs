//! What an open stream holds.

use futures_util::future::join_all;

use crate::caller::Routed;

/// Opens so many streams that stand still after their first content, and prints how much the process grew per stream.
///
/// The kernel's buffers of the sockets are not counted.
pub(crate) async fn per_stream(port: u16, streams: usize) {
    let routed = Routed::new(port, "stalled");
    drop(open(&routed, streams / 10).await);
    let before = resident_bytes();
    let held = open(&routed, streams).await;
    let after = resident_bytes();
    let each = after.saturating_sub(before) / held.len() as u64;
    println!("router_load/open_stream: {:.1} KB resident per stream, of {streams}", each as f64 / 1e3);
}

async fn open(routed: &Routed, streams: usize) -> Vec<aic_router::ChatStream> {
    let opened = join_all((0..streams).map(|_| routed.open())).await;
    opened.into_iter().map(|stream| stream.expect("the server answers")).collect()
}

/// From `/proc/self/statm`, in pages of 4 KiB; 0 where there is no such file.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
