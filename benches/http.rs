//! What a small streamed chat costs over HTTP/1.1 and HTTP/2, over pooled and fresh connections, and what an open
//! stream costs in memory.
//!
//! `cargo bench --bench http`. The server is this program again, in a process of its own, on loopback and without
//! TLS; it answers at once, in ten events. Beside Criterion's figures, p50 and p99 of the single requests are printed.
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use aic_router::{ChatRequest, Event, EventStream, Http, HttpBuilder, OpenAi, Provider};
use bytes::Bytes;
use criterion::{Criterion, criterion_group};
use futures_util::StreamExt;
use futures_util::future::join_all;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// The arguments that make this program the server, and the client whose memory is measured.
const SERVE: &str = "serve";
const MEASURE: &str = "measure";
/// How many requests are in flight at once in the concurrent cases.
const CONCURRENT: usize = 64;
/// How many streams are open when memory is measured.
const OPEN: usize = 1000;

const EVENT: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello \"},\"finish_reason\":null}]}\n\n";
const LAST: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
const EVENTS: usize = 9;

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    targets = chat
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [SERVE] => return runtime().block_on(serve()),
        [MEASURE, protocol, address] => return runtime().block_on(measure(protocol, address)),
        _ => {}
    }
    memory();
    benches();
    Criterion::default().configure_from_args().final_summary();
}

fn chat(c: &mut Criterion) {
    let server = Server::start();
    let runtime = runtime();
    let fresh = |http: HttpBuilder| http.idle_connections_max(0);
    let cases = [
        ("http1_fresh", &server.http1, fresh(Http::builder())),
        ("http1_pooled", &server.http1, Http::builder()),
        ("http2_fresh", &server.http2, fresh(Http::builder().http2_prior_knowledge())),
        ("http2_pooled", &server.http2, Http::builder().http2_prior_knowledge()),
    ];
    for (name, address, http) in cases {
        let provider = provider(&format!("http://{address}/chat"), http);
        for concurrent in [1, CONCURRENT] {
            let id = format!("http/chat_{concurrent}/{name}");
            let times = Mutex::new(Vec::new());
            c.bench_function(&id, |b| {
                b.to_async(&runtime).iter(|| join_all((0..concurrent).map(|_| ask(&provider, &times))));
            });
            print_percentiles(times.into_inner().expect("no thread panicked"));
        }
    }
}

/// Prints what an open stream costs the client, the server being elsewhere: each protocol in a process of its own,
/// as memory that was used and freed is used again.
fn memory() {
    let server = Server::start();
    for (protocol, address) in [("http1", &server.http1), ("http2", &server.http2)] {
        let measured = again().args([MEASURE, protocol, address]).status().expect("it starts again");
        assert!(measured.success(), "{protocol} was not measured");
    }
}

async fn measure(protocol: &str, address: &str) {
    let http = match protocol {
        "http1" => Http::builder().connections_max(OPEN + 1),
        _ => Http::builder().http2_prior_knowledge(),
    };
    let provider = provider(&format!("http://{address}/hold"), http);
    let _warm = begin(&provider).await;
    let before = resident_bytes();
    let _open = join_all((0..OPEN).map(|_| begin(&provider))).await;
    let used = resident_bytes().saturating_sub(before);
    println!("http/memory/{protocol}: {} bytes per open stream ({OPEN} open)", used / OPEN as u64);
}

async fn ask(provider: &OpenAi, times: &Mutex<Vec<Duration>>) {
    let began = Instant::now();
    let mut events = begin(provider).await;
    while !matches!(next(&mut events).await, Event::End(_)) {}
    times.lock().expect("no thread panicked").push(began.elapsed());
}

/// Asks, and waits for the first event.
async fn begin(provider: &OpenAi) -> EventStream {
    let request = ChatRequest::user("Why is the sky blue?");
    let mut events = provider.chat("m", &request).await.expect("the server answers");
    next(&mut events).await;
    events
}

async fn next(events: &mut EventStream) -> Event {
    events.next().await.expect("the answer is whole").expect("the server does not fail")
}

fn provider(url: &str, http: HttpBuilder) -> OpenAi {
    let http = http.build().expect("good settings");
    OpenAi::builder(url).name("bench").model("m").http(&http).build().expect("good settings")
}

fn print_percentiles(mut times: Vec<Duration>) {
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else { return };
    let at = |share: f64| times[(last as f64 * share) as usize];
    println!("{:24}p50 {:.1?}, p99 {:.1?} of {} requests\n", "", at(0.50), at(0.99), times.len());
}

fn resident_bytes() -> u64 {
    let this = Pid::from_u32(std::process::id());
    let mut system = System::new().expect("the system can be read");
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[this]),
        true,
        ProcessRefreshKind::nothing().with_memory(),
    );
    system.process(this).expect("this process runs").memory()
}

/// This program, to be run once more.
fn again() -> Command {
    Command::new(std::env::current_exe().expect("this program has a path"))
}

fn runtime() -> Runtime {
    Runtime::new().expect("threads can be started")
}

/// The other process.
struct Server {
    process: Child,
    http1: String,
    http2: String,
}

impl Server {
    fn start() -> Self {
        let mut process = again().arg(SERVE).stdout(Stdio::piped()).spawn().expect("it starts again");
        let output = process.stdout.take().expect("the output is piped");
        let mut lines = BufReader::new(output).lines().map(|line| line.expect("the output is text"));
        let mut address = || lines.next().expect("the server says its addresses");
        Self { http1: address(), http2: address(), process }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn serve() {
    let bind = async || TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let (http1, http2) = (bind().await, bind().await);
    for listener in [&http1, &http2] {
        println!("{}", listener.local_addr().expect("the socket is bound"));
    }
    tokio::join!(accept_http1(http1), accept_http2(http2));
}

async fn accept_http1(listener: TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        let _ = socket.set_nodelay(true);
        tokio::spawn(serve_http1(socket));
    }
}

async fn accept_http2(listener: TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        let _ = socket.set_nodelay(true);
        tokio::spawn(serve_http2(socket));
    }
}

/// Answers one request after the other, until the client leaves.
async fn serve_http1(mut socket: TcpStream) {
    while let Some(hold) = read_request(&mut socket).await {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        if say(&mut socket, &[head, &chunk(EVENT)]).await.is_err() {
            return;
        }
        if hold {
            let _ = socket.read(&mut [0]).await;
            return;
        }
        for event in [EVENT; EVENTS - 1].into_iter().chain([LAST]) {
            if say(&mut socket, &[&chunk(event)]).await.is_err() {
                return;
            }
        }
        if say(&mut socket, &["0\r\n\r\n"]).await.is_err() {
            return;
        }
    }
}

async fn say(socket: &mut TcpStream, texts: &[&str]) -> std::io::Result<()> {
    socket.write_all(texts.concat().as_bytes()).await
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// Reads a request with its body; says whether its answer is to be held back.
async fn read_request(socket: &mut TcpStream) -> Option<bool> {
    let mut seen = Vec::new();
    loop {
        let read = socket.read_buf(&mut seen).await.ok().filter(|read| *read > 0);
        read?;
        let text = std::str::from_utf8(&seen).ok()?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        if body.len() >= length.parse().ok()? {
            return Some(head.contains("/hold/"));
        }
    }
}

async fn serve_http2(socket: TcpStream) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer_http2(request, respond));
    }
}

async fn answer_http2(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let hold = request.uri().path().contains("/hold/");
    let mut asked = request.into_body();
    while let Some(piece) = asked.data().await {
        asked.flow_control().release_capacity(piece?.len())?;
    }
    let head = http::Response::builder().header("content-type", "text/event-stream").body(());
    let mut body = respond.send_response(head.expect("a good header"), false)?;
    body.send_data(EVENT.into(), false)?;
    if hold {
        std::future::poll_fn(|cx| body.poll_reset(cx)).await?;
        return Ok(());
    }
    for _ in 1..EVENTS {
        body.send_data(EVENT.into(), false)?;
    }
    body.send_data(LAST.into(), true)
}
