//! `sluice bench forward`: what an edge costs for each packet that it forwards, beside the floor.

mod chart;
pub mod floor;
mod process;
mod sinks;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;
use thiserror::Error;

pub use self::chart::draw;
use self::floor::{FloorCost, FloorOrder, Flow};
use self::process::Process;
use self::sinks::Sinks;
use crate::client::Camera;
use crate::client::publisher::{AUDIO_INTERVAL, FRAME_INTERVAL};
use crate::load::{Api, JoinError, Load, Percentiles, Progress};

/// The development mesh's coordinator and API key.
const COORDINATOR: &str = "http://127.0.0.1:7400";
const API_KEY: &str = "devkey:devsecret-devsecret-devsecret-0001";

/// One region is enough: what is measured is one edge.
const TOPOLOGY: &str = "name = \"bench\"\nregions = [\"here\"]\n";
const REGION: &str = "display_name = \"Here\"\nlatitude = 50.0\nlongitude = 8.0\ndns = [\"here.bench.example\"]\nedges = 1\n";

/// How long the mesh may take to start, and to end.
const READY: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(15);

/// How long media runs before anything is counted: estimates of bandwidth have to climb.
const WARM_UP: Duration = Duration::from_secs(8);

/// Bytes of a sound packet on the wire, tag included.
const SOUND_BYTES: usize = 120;

/// Why there is no result.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The mesh or the floor cannot be run.
    #[error("{what}: {source}")]
    Process {
        /// Which.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The mesh did not become ready.
    #[error("the mesh was not ready within {READY:?}: does another one run on this machine?")]
    NotReady,
    /// Somebody could not join.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The floor's answer cannot be read.
    #[error("the floor's answer: {0}")]
    Floor(#[from] serde_json::Error),
}

fn failed(what: &'static str) -> impl FnOnce(std::io::Error) -> BenchError {
    move |source| BenchError::Process { what, source }
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name, the key in the JSON file.
    pub name: &'static str,
    /// Rooms.
    pub rooms: usize,
    /// Participants of each that send.
    pub publishers: usize,
    /// Participants of each that only receive.
    pub viewers: usize,
    /// Bytes of each video packet.
    pub packet_bytes: usize,
    /// Whether the kernel may cut runs for one destination (UDP GSO).
    pub segmentation: bool,
}

/// The measurements that are made when none is named.
pub const SCENARIOS: [Scenario; 7] = {
    const fn one(name: &'static str, viewers: usize, packet_bytes: usize) -> Scenario {
        Scenario {
            name,
            rooms: 1,
            publishers: 1,
            viewers,
            packet_bytes,
            segmentation: true,
        }
    }
    [
        one("1-to-10", 10, 1_100),
        one("1-to-100", 100, 1_100),
        one("1-to-300", 300, 1_100),
        one("1-to-100-small", 100, 300),
        Scenario {
            segmentation: false,
            ..one("1-to-100-no-gso", 100, 1_100)
        },
        Scenario {
            rooms: 10,
            publishers: 4,
            ..one("10-rooms-of-4", 0, 1_100)
        },
        Scenario {
            rooms: 5,
            publishers: 10,
            ..one("5-rooms-of-10", 0, 1_100)
        },
    ]
};

/// What one scenario gave.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measured {
    /// Processor time of the bare sending for each packet.
    pub floor_ns_per_packet: f64,
    /// Processor time of the whole edge for each packet that it forwards.
    pub edge_ns_per_packet: f64,
    /// The one by the other.
    pub ratio: f64,
    /// Instructions of the edge for each packet; `None` where the machine has no counters.
    pub instructions_per_packet: Option<f64>,
    /// Packets that the edge sent to viewers.
    pub packets_sent: u64,
    /// Those of them that did not arrive.
    pub packets_lost: u64,
    /// From the publisher's system call to the viewer's, through the edge. That contains both
    /// clients' own time.
    pub added_delay_ms: Percentiles,
    /// What the edge's memory grew by for each participant.
    pub bytes_per_participant: f64,
    /// The share of one core that the edge was busy.
    pub edge_load: f64,
}

/// All results, by scenario.
pub type Results = BTreeMap<&'static str, Measured>;

impl Scenario {
    fn load(&self, duration: Duration) -> Load {
        Load {
            regions: Vec::new(),
            rooms: self.rooms,
            publishers: self.publishers,
            viewers: self.viewers,
            camera: Camera {
                packets_per_frame: 10,
                packet_bytes: self.packet_bytes,
            },
            duration,
        }
    }

    /// Measures the edge, then the floor.
    ///
    /// # Errors
    /// See [`BenchError`].
    pub async fn run(
        &self,
        sluice: &Path,
        duration: Duration,
        progress: Progress<'_>,
    ) -> Result<Measured, BenchError> {
        let mut measured = self.run_edge(sluice, duration, progress).await?;
        progress("floor", 0, 1);
        let cost = self.run_floor(sluice, duration)?;
        progress("floor", 1, 1);
        measured.floor_ns_per_packet = cost.cpu_nanos as f64 / cost.packets.max(1) as f64;
        measured.ratio = measured.edge_ns_per_packet / measured.floor_ns_per_packet;
        Ok(measured)
    }

    async fn run_edge(
        &self,
        sluice: &Path,
        duration: Duration,
        progress: Progress<'_>,
    ) -> Result<Measured, BenchError> {
        let mesh = Mesh::start(sluice, self.segmentation).await?;
        let edge = mesh.edge()?;
        let reading = failed("the edge's /proc");
        let empty = edge.memory_bytes().map_err(reading)?;
        let load = self.load(duration);
        let api = Api::new(COORDINATOR, API_KEY)?;
        let crowd = load.gather(&api, progress).await?;
        tokio::time::sleep(WARM_UP).await;
        crowd.engine.begin();
        let started = Instant::now();
        let before = edge.cpu_nanos("").map_err(failed("the edge's /proc"))?;
        let instructions = counters(edge, duration);
        progress("measuring", 0, 1);
        tokio::time::sleep(duration).await;
        let nanos = edge.cpu_nanos("").map_err(failed("the edge's /proc"))? - before;
        let elapsed = started.elapsed();
        let counted = crowd.engine.report().await.unwrap_or_default();
        progress("measuring", 1, 1);
        let full = edge.memory_bytes().map_err(failed("the edge's /proc"))?;
        let streams: Vec<_> = counted.viewers.iter().flatten().collect();
        let received: u64 = streams.iter().map(|stream| stream.received).sum();
        let lost: u64 = streams.iter().map(|stream| stream.lost).sum();
        let sent = received + lost;
        let delays = streams
            .iter()
            .flat_map(|stream| &stream.delays)
            .map(|&micros| f64::from(micros) / 1_000.0)
            .collect();
        let participants = crowd.participants.len().max(1) as f64;
        drop(crowd);
        mesh.stop();
        Ok(Measured {
            floor_ns_per_packet: 0.0,
            edge_ns_per_packet: nanos as f64 / sent.max(1) as f64,
            ratio: 0.0,
            instructions_per_packet: instructions
                .and_then(Counters::read)
                .map(|count| count as f64 / sent.max(1) as f64),
            packets_sent: sent,
            packets_lost: lost,
            added_delay_ms: Percentiles::of(delays),
            bytes_per_participant: full.saturating_sub(empty) as f64 / participants,
            edge_load: nanos as f64 / elapsed.as_nanos() as f64,
        })
    }

    fn run_floor(&self, sluice: &Path, duration: Duration) -> Result<FloorCost, BenchError> {
        let receivers = self.publishers + self.viewers;
        let sinks = Sinks::open(self.rooms * receivers).map_err(failed("the floor's sockets"))?;
        let mut flows = Vec::new();
        for room in sinks.addresses().chunks(receivers) {
            for publisher in 0..self.publishers {
                let mut to = room.to_vec();
                to.remove(publisher);
                for (packets, packet_bytes, interval) in [
                    (10, self.packet_bytes, FRAME_INTERVAL),
                    (1, SOUND_BYTES, AUDIO_INTERVAL),
                ] {
                    flows.push(Flow {
                        to: to.clone(),
                        packets,
                        packet_bytes,
                        interval_micros: interval.as_micros() as u64,
                    });
                }
            }
        }
        let order = FloorOrder {
            flows,
            duration_ms: duration.as_millis() as u64,
            segmentation: self.segmentation,
        };
        let mut child = Command::new(sluice)
            .args(["bench", "floor"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed("the floor"))?;
        if let Some(mut input) = child.stdin.take() {
            input
                .write_all(serde_json::to_string(&order)?.as_bytes())
                .map_err(failed("the floor"))?;
        }
        let output = child.wait_with_output().map_err(failed("the floor"))?;
        let cost: FloorCost = serde_json::from_slice(&output.stdout)?;
        if sinks.received() == 0 {
            return Err(failed("the floor")(std::io::Error::other(
                "none of its packets arrived",
            )));
        }
        Ok(cost)
    }
}

/// A development mesh with one edge, in processes of its own.
struct Mesh {
    child: Child,
    _dir: tempfile::TempDir,
}

impl Mesh {
    async fn start(sluice: &Path, segmentation: bool) -> Result<Self, BenchError> {
        let dir = tempfile::tempdir().map_err(failed("a directory"))?;
        let regions = dir.path().join("regions");
        std::fs::create_dir(&regions)
            .and_then(|()| std::fs::write(regions.join("here.toml"), REGION))
            .and_then(|()| std::fs::write(dir.path().join("topology.toml"), TOPOLOGY))
            .map_err(failed("a topology"))?;
        let ready: PathBuf = dir.path().join("ready.json");
        let child = Command::new(sluice)
            .arg("dev")
            .arg("--topology")
            .arg(dir.path())
            .arg("--ready-file")
            .arg(&ready)
            .env("SLUICE_SEGMENTATION", segmentation.to_string())
            .env("SLUICE_CAPACITY", "5000")
            .env("RUST_LOG", "warn")
            .env("SLUICE_END_WITH_PARENT", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed("the mesh"))?;
        let mesh = Self { child, _dir: dir };
        let deadline = Instant::now() + READY;
        while !std::fs::read(&ready).is_ok_and(|text| text.ends_with(b"}")) {
            if Instant::now() > deadline {
                return Err(BenchError::NotReady);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(mesh)
    }

    fn edge(&self) -> Result<Process, BenchError> {
        Process::edge_below(self.child.id()).ok_or(BenchError::NotReady)
    }

    /// Ends it in order, so that the next one finds its ports free.
    fn stop(mut self) {
        // SIGTERM, which std does not send.
        let asked = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let deadline = Instant::now() + GRACE;
        while asked.is_ok() && Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running `perf stat`.
struct Counters(Child);

/// Counts the edge's instructions for so long, where `perf` and the machine can.
fn counters(edge: Process, duration: Duration) -> Option<Counters> {
    Command::new("perf")
        .args(["stat", "-x,", "-e", "instructions", "-p"])
        .arg(edge.id().to_string())
        .args(["--", "sleep"])
        .arg(duration.as_secs_f64().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()
        .map(Counters)
}

impl Counters {
    fn read(self) -> Option<u64> {
        let output = self.0.wait_with_output().ok()?;
        let text = String::from_utf8(output.stderr).ok()?;
        text.lines()
            .find(|line| line.contains("instructions"))
            .and_then(|line| line.split(',').next()?.parse().ok())
    }
}
