//! Real servers for the tests: on free loopback ports, keeping nothing, gone with the tests.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::process;
use crate::say::say;

use super::guard::GUARD;
use super::kit::{self, Kit};
use super::needs::Need;

const PATIENCE: Duration = Duration::from_secs(15);

/// The running servers; dropping this ends them and removes their folder.
#[derive(Debug)]
pub(crate) struct Servers {
    running: Vec<Server>,
    folder: PathBuf,
}

impl Servers {
    /// Starts the servers of `kit` and waits until they accept connections.
    pub(crate) fn start(kit: &Kit, this_program: &Path, target: &Path) -> Result<Self> {
        let folder = kit::home(target).join(format!("servers-{}", std::process::id()));
        let mut servers = Self { running: Vec::new(), folder };
        if let Some(program) = kit.redis.as_ref().filter(|_| kit.answers(Need::Redis)) {
            let folder = servers.folder_of("redis")?;
            servers.running.push(Server::start(
                Need::Redis,
                this_program,
                &redis(program, &folder)?,
                &folder,
            )?);
        }
        if let Some(program) = &kit.mosquitto {
            let folder = servers.folder_of("mosquitto")?;
            servers.running.push(Server::start(
                Need::Mqtt,
                this_program,
                &mosquitto(program, &folder)?,
                &folder,
            )?);
        }
        Ok(servers)
    }

    /// The variables that tell the tests where the servers are.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.running.iter().map(|server| (server.need.variable(), server.url()))
    }

    fn folder_of(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).map_err(|cause| Error::at(&folder, cause))?;
        Ok(folder)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.running.clear();
        // Left behind at worst: a few kilobytes in the build folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// How a server is started, and where it will listen.
#[derive(Debug)]
struct Plan {
    port: u16,
    line: Vec<String>,
}

fn redis(program: &Path, folder: &Path) -> Result<Plan> {
    let port = free_port()?;
    let mut line = vec![program.display().to_string()];
    line.extend(["--port", &port.to_string(), "--bind", "127.0.0.1"].map(str::to_owned));
    line.extend(["--save", "", "--appendonly", "no", "--daemonize", "no"].map(str::to_owned));
    line.extend(["--dir".to_owned(), folder.display().to_string()]);
    Ok(Plan { port, line })
}

fn mosquitto(program: &Path, folder: &Path) -> Result<Plan> {
    let port = free_port()?;
    let config = folder.join("mosquitto.conf");
    let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
    fs::write(&config, text).map_err(|cause| Error::at(&config, cause))?;
    let line = [program.display().to_string(), "-c".to_owned(), config.display().to_string()];
    Ok(Plan { port, line: line.to_vec() })
}

/// A server under its guard.
#[derive(Debug)]
struct Server {
    need: Need,
    port: u16,
    guard: Child,
    log: PathBuf,
}

impl Server {
    fn start(need: Need, this_program: &Path, plan: &Plan, folder: &Path) -> Result<Self> {
        let log = folder.join("log");
        let output = File::create(&log).map_err(|cause| Error::at(&log, cause))?;
        let guard = Command::new(this_program)
            .arg(GUARD)
            .args(&plan.line)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|cause| Error::at(this_program, cause))?;
        let mut server = Self { need, port: plan.port, guard, log };
        server.wait_until_ready()?;
        say!("{} at {}", plan.line[0], server.url());
        Ok(server)
    }

    fn url(&self) -> String {
        let scheme = if self.need == Need::Redis { "redis" } else { "mqtt" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if self.guard.try_wait()?.is_some() {
                return Err(self.failed("ended at once"));
            }
            if Instant::now() > end {
                return Err(self.failed("accepts no connection"));
            }
            thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }

    fn failed(&self, how: &str) -> Error {
        Error::new(format!("the server at {} {how}; it said:\n{}", self.url(), process::tail(&self.log)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The guard ends the server when its input closes, and then itself.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
