//! Whether a server answers, asked with as few bytes as its protocol allows.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(1);

/// Whether an HTTP server at `authority` (`host:port`) answers `GET path` with 200.
pub(crate) fn http_answers(authority: &str, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\n\r\n");
    ask(authority, &request).is_some_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

/// Whether a Redis server at `authority` answers at all; one that wants a password does, too.
pub(crate) fn redis_answers(authority: &str) -> bool {
    ask(authority, "PING\r\n")
        .is_some_and(|answer| answer.starts_with("+PONG") || answer.starts_with("-NOAUTH"))
}

/// Whether something at `authority` accepts a connection.
pub(crate) fn accepts(authority: &str) -> bool {
    connect(authority).is_some()
}

/// `host:port` of a URL or of a bare address, without user, password and path.
pub(crate) fn authority(url: &str, default_port: u16) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host =
        if host.is_empty() || host.starts_with(':') { format!("127.0.0.1{host}") } else { host.to_owned() };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { host } else { format!("{host}:{default_port}") }
}

fn ask(authority: &str, request: &str) -> Option<String> {
    let mut stream = connect(authority)?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = [0; 128];
    let length = stream.read(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

fn connect(authority: &str) -> Option<TcpStream> {
    let stream = authority
        .to_socket_addrs()
        .ok()?
        .find_map(|address| TcpStream::connect_timeout(&address, PATIENCE).ok())?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_a_url_has_a_port_and_no_password() {
        assert_eq!(authority("redis://user:secret@cache:6380/0", 6379), "cache:6380");
        assert_eq!(authority("redis://cache", 6379), "cache:6379");
        assert_eq!(authority("127.0.0.1:11434", 11434), "127.0.0.1:11434");
        assert_eq!(authority("http://gpu/", 11434), "gpu:11434");
        assert_eq!(authority(":8080", 11434), "127.0.0.1:8080");
    }
}
