//! Real Redis servers, started for one test on free ports of this machine and gone with it.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use ::redis::{
    Client, Cmd, FromRedisValue, RedisResult, ToRedisArgs, Value, aio::MultiplexedConnection, cmd,
};
use tempfile::TempDir;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

/// The other ends of links between nodes listen this much higher.
const BUS: u16 = 10_000;

/// Ends with its standard input, even if this process is killed, and takes the server along.
const KEEPER: &str = r#""$0" "$@" >/dev/null 2>&1 & p=$!; echo $p; read -r _; kill -9 $p"#;

/// The program, if there is one to test with.
pub(crate) fn program() -> Option<PathBuf> {
    match env::var_os("AIC_TEST_REDIS_SERVER") {
        Some(path) => Some(path.into()),
        None if env::var("AIC_TEST_REQUIRE").is_ok_and(|value| value == "1") => {
            panic!("AIC_TEST_REDIS_SERVER is not set")
        }
        None => {
            println!("skipped: AIC_TEST_REDIS_SERVER is not set; run `cargo xtask test`");
            None
        }
    }
}

/// A server that keeps nothing on disk.
pub(crate) struct Server {
    program: PathBuf,
    port: u16,
    arguments: Vec<String>,
    keeper: Child,
    pid: u32,
    /// Removed together with the server.
    _folder: TempDir,
}

impl Server {
    /// A server by itself.
    pub(crate) async fn start(program: &Path) -> Self {
        Self::start_with(program, &[]).await
    }

    pub(crate) async fn start_with(program: &Path, options: &[&str]) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let port_text = port.to_string();
        let fixed = ["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let here = folder.path().to_str().expect("the folder has a plain name").to_owned();
        let more = ["--dir", &here, "--repl-diskless-sync-delay", "0"];
        let arguments: Vec<_> =
            fixed.iter().chain(&more).chain(options).map(|option| (*option).to_owned()).collect();
        Self::run(program, port, arguments, folder).await
    }

    async fn run(program: &Path, port: u16, arguments: Vec<String>, folder: TempDir) -> Self {
        let (keeper, pid) = keep(program, &arguments);
        let server = Self { program: program.to_owned(), port, arguments, keeper, pid, _folder: folder };
        server.wait_until_up().await;
        server
    }

    /// Somebody else may have been given the port, so the process is asked who it is.
    async fn wait_until_up(&self) {
        let ours = format!("process_id:{}\r", self.pid);
        until("the server is up", async || {
            let info: RedisResult<String> = self.ask(cmd("INFO").arg("server")).await;
            info.is_ok_and(|info| info.contains(&ours))
        })
        .await;
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.host())
    }

    /// A connection for the test itself.
    pub(crate) async fn client(&self) -> RedisResult<MultiplexedConnection> {
        let client = Client::open(self.url()).expect("the URL is an address");
        client.get_multiplexed_async_connection().await
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        command.query_async(&mut self.client().await?).await
    }

    /// Carries out a command that must succeed.
    pub(crate) async fn tell(&self, words: &[&str]) {
        let (name, arguments) = words.split_first().expect("a command has a name");
        self.tell_bytes(name, arguments).await;
    }

    pub(crate) async fn tell_bytes<A: ToRedisArgs>(&self, name: &str, arguments: &[A]) {
        let result: RedisResult<Value> = self.ask(cmd(name).arg(arguments)).await;
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Its name among the nodes of a Cluster.
    async fn id(&self) -> String {
        self.ask(cmd("CLUSTER").arg("MYID")).await.expect("a node has a name")
    }

    /// Ends it at once, as a crash would.
    pub(crate) async fn kill(&self) {
        self.signal("KILL").await;
    }

    /// Lets it stand still with its connections open.
    pub(crate) async fn pause(&self) {
        self.signal("STOP").await;
    }

    pub(crate) async fn resume(&self) {
        self.signal("CONT").await;
    }

    /// Starts it again on the same port, empty. It must have been killed.
    pub(crate) async fn restart(&mut self) {
        let (program, arguments) = (self.program.clone(), self.arguments.clone());
        let started = spawn_blocking(move || keep(&program, &arguments)).await;
        let (keeper, pid) = started.expect("starting does not panic");
        let ended = std::mem::replace(&mut self.keeper, keeper);
        self.pid = pid;
        spawn_blocking(move || dismiss(ended)).await.expect("ending does not panic");
        self.wait_until_up().await;
    }

    /// On a thread of its own: those that are measured must not wait for this.
    async fn signal(&self, name: &'static str) {
        let pid = self.pid.to_string();
        let sent = spawn_blocking(move || Command::new("kill").args(["-s", name, &pid]).status()).await;
        let status = sent.expect("waiting does not panic").expect("there is a kill command");
        assert!(status.success(), "kill -s {name}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Without this it would stay a zombie; there is nothing to do about an error.
        let _ = self.keeper.wait();
    }
}

fn dismiss(mut keeper: Child) {
    drop(keeper.stdin.take());
    keeper.wait().expect("the keeper is our child");
}

fn keep(program: &Path, arguments: &[String]) -> (Child, u32) {
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER]).arg(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut keeper = command.stderr(Stdio::null()).spawn().expect("there is a shell");
    let mut line = String::new();
    let output = keeper.stdout.take().expect("the output is piped");
    BufReader::new(output).read_line(&mut line).expect("the shell says which process it started");
    (keeper, line.trim().parse().expect("a process has a number"))
}

/// A port that is free here and with `BUS` added, and that no other test of this process was given.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let first = u16::try_from(std::process::id() % 97).expect("less than 97") * 100;
    let mut ports =
        std::iter::repeat_with(|| 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000);
    ports.find(|&port| is_free(port) && is_free(port + BUS)).expect("the sequence has no end")
}

/// Waits until `condition` holds, half a minute at most.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) -> Duration {
    let begun = Instant::now();
    while !timeout(Duration::from_secs(5), condition()).await.unwrap_or(false) {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited half a minute until {what}");
        sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

/// A Cluster of three masters, each with a replica or without.
pub(crate) struct Cluster {
    pub(crate) masters: Vec<Server>,
    pub(crate) replicas: Vec<Server>,
}

impl Cluster {
    pub(crate) async fn start(program: &Path, with_replicas: bool) -> Self {
        // Short where a failover is waited for; else long enough for a machine that has other things to do.
        let patience = if with_replicas { "1500" } else { "3000" };
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", patience];
        let mut servers = Vec::new();
        for _ in 0..if with_replicas { 6 } else { 3 } {
            servers.push(Server::start_with(program, &options).await);
        }
        introduce(&servers).await;
        let replicas = servers.split_off(3);
        let cluster = Self { masters: servers, replicas };
        cluster.share_out().await;
        cluster.replicate().await;
        cluster
    }

    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.all().map(Server::host).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// Waits until the replica of this master has taken over and all who live know.
    pub(crate) async fn until_failed_over(&self, gone: &[usize]) -> Duration {
        let masters = self.masters.iter().enumerate().filter(|(i, _)| !gone.contains(i));
        let living: Vec<_> = masters.map(|(_, master)| master).chain(&self.replicas).collect();
        until("the replicas have taken over", async || {
            for &i in gone {
                if !says(&self.replicas[i], &["INFO", "replication"], "role:master").await {
                    return false;
                }
            }
            for server in &living {
                if !says(server, &["CLUSTER", "INFO"], "cluster_state:ok").await {
                    return false;
                }
            }
            true
        })
        .await
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Server> {
        self.masters.iter().chain(&self.replicas)
    }

    /// Gives what is kept under `name` to another master and leaves its slot between the two.
    pub(crate) async fn begin_to_move(&self, name: &str) -> Moving {
        let slot: u16 = self.masters[0].ask(cmd("CLUSTER").arg("KEYSLOT").arg(name)).await.expect("a slot");
        let from = usize::from(slot / 5461).min(2);
        let (from, to) = (&self.masters[from], &self.masters[(from + 1) % 3]);
        let (slot, from_id, to_id) = (slot.to_string(), from.id().await, to.id().await);
        to.tell(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
        from.tell(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
        from.tell(&["MIGRATE", "127.0.0.1", &to.port.to_string(), name, "0", "5000"]).await;
        Moving { slot, to: to_id }
    }

    pub(crate) async fn finish_moving(&self, moving: &Moving) {
        for master in &self.masters {
            master.tell(&["CLUSTER", "SETSLOT", &moving.slot, "NODE", &moving.to]).await;
        }
    }

    async fn share_out(&self) {
        for (master, (first, last)) in self.masters.iter().zip([(0, 5460), (5461, 10922), (10923, 16383)]) {
            master.tell(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
        }
        for server in self.all() {
            until("the cluster is well", async || {
                says(server, &["CLUSTER", "INFO"], "cluster_state:ok").await
            })
            .await;
        }
    }

    async fn replicate(&self) {
        for (master, replica) in self.masters.iter().zip(&self.replicas) {
            replica.tell(&["CLUSTER", "REPLICATE", &master.id().await]).await;
        }
        for replica in &self.replicas {
            until_linked(replica).await;
        }
        for server in self.all().filter(|_| !self.replicas.is_empty()) {
            until("everybody knows the replicas", async || {
                let nodes: RedisResult<String> = server.ask(cmd("CLUSTER").arg("NODES")).await;
                nodes.is_ok_and(|nodes| nodes.matches("slave").count() == self.replicas.len())
            })
            .await;
        }
    }
}

/// A slot on its way.
pub(crate) struct Moving {
    slot: String,
    to: String,
}

/// Lets the servers know each other, with an epoch of its own for each, so that they need not agree on that.
async fn introduce(servers: &[Server]) {
    for (epoch, server) in (1..).zip(servers) {
        server.tell(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()]).await;
        server.tell(&["CLUSTER", "MEET", "127.0.0.1", &servers[0].port.to_string()]).await;
    }
    let all = format!("cluster_known_nodes:{}\r", servers.len());
    for server in servers {
        until("the nodes know each other", async || says(server, &["CLUSTER", "INFO"], &all).await).await;
    }
}

/// Whether the answer to a command that reports contains `words`.
async fn says(server: &Server, command: &[&str], words: &str) -> bool {
    let report: RedisResult<String> = server.ask(cmd(command[0]).arg(&command[1..])).await;
    report.is_ok_and(|report| report.contains(words))
}

async fn until_linked(replica: &Server) {
    let linked = "master_link_status:up";
    until("the replica is linked", async || says(replica, &["INFO", "replication"], linked).await).await;
}

/// A master with two replicas, watched by three Sentinels under the name `main`.
pub(crate) struct Watched {
    pub(crate) master: Server,
    _replicas: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Watched {
    pub(crate) async fn start(program: &Path) -> Self {
        let master = Server::start(program).await;
        let (mut replicas, mut sentinels) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let options = ["--replicaof", "127.0.0.1", &master.port.to_string()];
            replicas.push(Server::start_with(program, &options).await);
        }
        for replica in &replicas {
            until_linked(replica).await;
        }
        for _ in 0..3 {
            sentinels.push(sentinel(program, master.port).await);
        }
        for sentinel in &sentinels {
            until("the Sentinels know everybody", async || {
                sees(sentinel, [("num-slaves", 2), ("num-other-sentinels", 2)]).await
            })
            .await;
        }
        Self { master, _replicas: replicas, sentinels }
    }

    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.sentinels.iter().map(Server::host).collect();
        format!("redis+sentinel://{}/main", hosts.join(","))
    }

    /// The Sentinel named first in the address.
    pub(crate) fn sentinel(&self) -> &Server {
        &self.sentinels[0]
    }

    /// Waits until the other Sentinels say that one of the replicas is the master.
    pub(crate) async fn until_failed_over(&self) -> Duration {
        let old = self.master.port.to_string();
        until("the Sentinels name a new master", async || {
            let mut question = cmd("SENTINEL");
            question.arg("GET-MASTER-ADDR-BY-NAME").arg("main");
            for sentinel in &self.sentinels[1..] {
                let named: RedisResult<(String, String)> = sentinel.ask(&question).await;
                if named.is_ok_and(|(_, port)| port == old) {
                    return false;
                }
            }
            true
        })
        .await
    }
}

async fn sentinel(program: &Path, master: u16) -> Server {
    let (port, folder) = (free_port(), tempfile::tempdir().expect("there is room for a folder"));
    let here = folder.path().display();
    let settings = format!(
        "port {port}\nbind 127.0.0.1\ndir {here}\nsentinel monitor main 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
    );
    let file = folder.path().join("sentinel.conf");
    fs::write(&file, settings).expect("there is room for a file");
    let arguments = vec![file.display().to_string(), "--sentinel".to_owned()];
    Server::run(program, port, arguments, folder).await
}

async fn sees(sentinel: &Server, wanted: [(&str, u8); 2]) -> bool {
    let report: RedisResult<std::collections::HashMap<String, String>> =
        sentinel.ask(cmd("SENTINEL").arg("MASTER").arg("main")).await;
    let seen = |(name, count): (&str, u8)| {
        report.as_ref().is_ok_and(|report| report.get(name).is_some_and(|seen| *seen == count.to_string()))
    };
    wanted.into_iter().all(seen)
}
