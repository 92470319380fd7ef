//! One connection: requests in, plays out.

use std::io;
use std::sync::atomic::Ordering;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Dialect, Fault, Play, Refusal, Reply, Seen, Shared, Up, answer, tokens};

/// Whether the connection can take another request.
enum After {
    Keep,
    Close,
}

/// Serves a connection until either side is through with it.
pub(super) async fn serve(socket: TcpStream, shared: std::sync::Arc<Shared>) {
    let _connected = Up::new(&shared.connections);
    let _ = socket.set_nodelay(true);
    let mut connection = Connection { socket, shared: &shared, buffer: Vec::new() };
    // A client that left is no fault of the server's.
    while let Ok(Some(seen)) = connection.request().await {
        match connection.respond(seen).await {
            Ok(After::Keep) => {}
            Ok(After::Close) | Err(_) => break,
        }
    }
}

struct Connection<'a> {
    socket: TcpStream,
    shared: &'a Shared,
    buffer: Vec<u8>,
}

impl Connection<'_> {
    /// Reads the next request; `None` where the client has left.
    async fn request(&mut self) -> io::Result<Option<Seen>> {
        let head = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break self.buffer.drain(..end + 4).collect::<Vec<u8>>();
            }
            if !self.read().await? {
                return Ok(None);
            }
        };
        let head = String::from_utf8(head).expect("a request's head is text");
        let (line, headers) = head.split_once("\r\n").expect("a head has a first line");
        let body = self.body(content_length(headers)).await?;
        Ok(Some(Seen { line: line.into(), headers: headers.into(), body }))
    }

    async fn body(&mut self, length: usize) -> io::Result<Value> {
        while self.buffer.len() < length {
            if !self.read().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn read(&mut self) -> io::Result<bool> {
        Ok(self.socket.read_buf(&mut self.buffer).await? > 0)
    }

    async fn respond(&mut self, seen: Seen) -> io::Result<After> {
        if let Some(document) = self.dialect().aside(&seen.line) {
            return self.reply(Reply::new(200, document)).await;
        }
        let shared = self.shared;
        let _open = Up::new(&shared.open);
        let prefill = shared.dialect.prefill(&seen.body);
        match shared.next(seen) {
            Play::Answer => self.answer(prefill).await,
            Play::RefusePrefill if prefill.is_some() => self.refuse(Refusal::NoPrefill).await,
            Play::RefusePrefill => self.answer(None).await,
            Play::Late(after) => {
                tokio::select! {
                    () = tokio::time::sleep(after) => {}
                    () = until_closed(&mut self.socket) => return Ok(After::Close),
                }
                self.answer(prefill).await
            }
            Play::Refuse(why) => self.refuse(why).await,
            Play::Reset => self.reset(),
            Play::Silence => self.stall().await,
            Play::Break(after, fault) => self.break_after(prefill, after, fault).await,
            Play::Raw { status, headers, first, again } => {
                self.head(status, &headers).await?;
                self.chunk(&first).await?;
                while !again.is_empty() {
                    self.chunk(&again).await?;
                }
                self.end().await
            }
        }
    }

    async fn answer(&mut self, prefill: Option<String>) -> io::Result<After> {
        if let Some(reply) = prefill.as_ref().and_then(|prefill| self.dialect().bad_prefill(prefill)) {
            return self.reply(reply).await;
        }
        self.begin().await?;
        let said = self.tokens(rest(prefill.as_deref())).await?;
        self.frames(&self.dialect().ending(&said)).await?;
        self.end().await
    }

    async fn break_after(
        &mut self,
        prefill: Option<String>,
        after: usize,
        fault: Fault,
    ) -> io::Result<After> {
        self.begin().await?;
        let said = self.tokens(rest(prefill.as_deref()).into_iter().take(after)).await?;
        match fault {
            Fault::Cut => {
                let token = self.dialect().token("lost");
                self.write(format!("{:x}\r\n{}", token.len(), &token[..token.len() / 2]).as_bytes()).await?;
                Ok(After::Close)
            }
            Fault::Reset => self.reset(),
            Fault::Stall => self.stall().await,
            Fault::Garbage => {
                self.chunk(self.dialect().frame(r#"{"choices": [{"delta"#).as_bytes()).await?;
                self.stall().await
            }
            Fault::BadChunk => {
                self.write(b"not a size\r\n").await?;
                self.stall().await
            }
            Fault::Error => {
                self.chunk(self.dialect().error().as_bytes()).await?;
                self.end().await
            }
            Fault::NoEnd => {
                let ending = self.dialect().ending(&said);
                self.frames(&ending[..ending.len() - 1]).await?;
                self.end().await
            }
        }
    }

    /// Says these, and returns them as one text.
    async fn tokens(&mut self, tokens: impl IntoIterator<Item = String>) -> io::Result<String> {
        let mut said = String::new();
        for token in tokens {
            self.chunk(self.dialect().token(&token).as_bytes()).await?;
            said.push_str(&token);
        }
        Ok(said)
    }

    async fn refuse(&mut self, why: Refusal) -> io::Result<After> {
        let reply = self.dialect().refusal(why).expect("only what the dialect can say is played");
        if reply.status == 200 {
            self.begin().await?;
            self.chunk(self.dialect().frame(&reply.body.to_string()).as_bytes()).await?;
            return self.end().await;
        }
        self.reply(reply).await
    }

    /// Sends a document.
    async fn reply(&mut self, reply: Reply) -> io::Result<After> {
        let Reply { status, mut headers, body } = reply;
        headers.push(("content-type", "application/json".into()));
        self.head(status, &headers).await?;
        self.chunk(body.to_string().as_bytes()).await?;
        self.end().await
    }

    /// Sends the head of a stream, and the frames before its first token.
    async fn begin(&mut self) -> io::Result<()> {
        self.head(200, &[("content-type", self.dialect().content_type().into())]).await?;
        self.frames(&self.dialect().opening()).await
    }

    async fn head(&mut self, status: u16, headers: &[(&str, String)]) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {status} Scripted\r\ntransfer-encoding: chunked\r\n");
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        self.write((head + "\r\n").as_bytes()).await
    }

    async fn frames(&mut self, frames: &[String]) -> io::Result<()> {
        for frame in frames {
            self.chunk(frame.as_bytes()).await?;
        }
        Ok(())
    }

    /// Sends a chunk of the body; an empty one would be its end, and is left out.
    async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.write(&chunk).await
    }

    async fn end(&mut self) -> io::Result<After> {
        self.write(b"0\r\n\r\n").await?;
        Ok(After::Keep)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await?;
        self.shared.sent_bytes.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(())
    }

    /// Says nothing more, until the client leaves.
    async fn stall(&mut self) -> io::Result<After> {
        until_closed(&mut self.socket).await;
        Ok(After::Close)
    }

    /// Makes the end of the connection a reset in place of an orderly end.
    fn reset(&mut self) -> io::Result<After> {
        self.socket.set_zero_linger()?;
        Ok(After::Close)
    }

    fn dialect(&self) -> &'static dyn Dialect {
        self.shared.dialect
    }
}

/// What is left of the answer after its beginning; all of it where that is another's.
fn rest(prefill: Option<&str>) -> Vec<String> {
    match prefill.and_then(|prefill| answer().strip_prefix(prefill).map(str::to_owned)) {
        Some(rest) => rest.split_inclusive(' ').map(str::to_owned).collect(),
        None => tokens().collect(),
    }
}

async fn until_closed(socket: &mut TcpStream) {
    while socket.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn content_length(headers: &str) -> usize {
    let value = headers.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    value.unwrap_or(0)
}
