//! A server that answers Chat Completions with prepared bytes, as cheaply as it can.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Text events of a long answer.
pub(crate) const LONG_EVENTS: usize = 1_000;

pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/v1")
}

/// The argument that makes this program the server.
const SERVE: &str = "--serve-on-port";

/// The server as a process of its own, so that its memory and time are not taken for the client's. Ends when dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start(port: u16) -> Self {
        let this = std::env::current_exe().expect("this program has a path");
        let started = Command::new(this).args([SERVE, &port.to_string()]).stdout(Stdio::piped()).spawn();
        let mut process = started.expect("the server can be started");
        let mut line = String::new();
        let output = process.stdout.as_mut().expect("it was asked for");
        BufReader::new(output).read_line(&mut line).expect("the server says its port");
        Self { process, port: line.trim().parse().expect("the server says its port") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves for ever, if this process was started as the server.
pub(crate) fn serve_if_asked() {
    let mut arguments = std::env::args().skip_while(|argument| argument != SERVE).skip(1);
    let Some(port) = arguments.next() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let port = port.parse().expect("the port is a number");
    runtime.expect("a runtime can be started").block_on(listen(port));
}

async fn listen(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    println!("{}", listener.local_addr().expect("it is bound").port());
    let answers = Answers { short: answer(1), long: answer(LONG_EVENTS), stalled: head() + &chunk(&text()) };
    let answers: &Answers = Box::leak(Box::new(answers));
    while let Ok((socket, _)) = listener.accept().await {
        socket.set_nodelay(true).expect("a socket can be set up");
        tokio::spawn(serve(socket, answers));
    }
}

struct Answers {
    short: String,
    long: String,
    stalled: String,
}

async fn serve(mut socket: TcpStream, answers: &'static Answers) {
    let mut request = Vec::with_capacity(4096);
    while read(&mut socket, &mut request).await.is_some() {
        let asks = |model: &[u8]| request.windows(model.len()).any(|window| window == model);
        let answer = match () {
            () if asks(b"\"stalled\"") => &answers.stalled,
            () if asks(b"\"long\"") => &answers.long,
            () => &answers.short,
        };
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        request.clear();
    }
}

/// Reads one request whole; `None` when the client has left.
async fn read(socket: &mut TcpStream, request: &mut Vec<u8>) -> Option<()> {
    loop {
        if socket.read_buf(request).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(());
        }
    }
}

fn head() -> String {
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".into()
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

fn text() -> String {
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n".into()
}

fn answer(events: usize) -> String {
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":8}}\n\ndata: [DONE]\n\n";
    head() + &chunk(&text()).repeat(events) + &chunk(end) + "0\r\n\r\n"
}
