//! How media crosses an impaired link: as plain datagrams, as one stream per frame, and repaired by
//! `sluice-relay`. Real QUIC over the impairment relay, all three at once, four round trips at a time.
//!
//! `cargo run --release -p sluice-meshnet --example link -- [seconds per cell]`; with `full` before the
//! seconds, links that carry less than they are offered instead.
#![allow(clippy::print_stdout, clippy::expect_used)]

mod media;
mod ways;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluice_meshnet::impair::{BurstLoss, ImpairmentRelay, LinkFigures, LossModel, RelaySettings};
use sluice_meshnet::{Identity, MeshCa, MeshConnection, MeshEndpoint, TransportSettings};
use sluice_types::mesh::backbone::ALPN;
use sluice_types::units::Bitrate;
use tokio::time::Instant;

use crate::media::{Figures, Record};
use crate::ways::Way;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const ROUND_TRIPS_MS: [u64; 4] = [20, 80, 150, 280];
const LOSSES: [f64; 4] = [0.0, 0.01, 0.02, 0.05];
/// Packets of a burst, on average.
const BURST: f64 = 4.0;
/// Not counted: the first probes have to cross.
const WARM: Duration = Duration::from_secs(3);
/// How long what was sent last may take.
const AFTER: Duration = Duration::from_secs(2);

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    let full = arguments.next_if(|word| word == "full").is_some();
    let seconds = arguments.next().map_or(Ok(20), |word| word.parse())?;
    if full {
        return full_links(seconds).await;
    }
    println!(
        "| loss | round trip | plain | stream per frame | wire | repaired | wire | by request, by parity |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for bursty in [false, true] {
        for loss in LOSSES {
            if bursty && loss == 0.0 {
                continue;
            }
            let cells = ROUND_TRIPS_MS
                .map(|round_trip| tokio::spawn(cell(loss, bursty, round_trip, seconds)));
            for cell in cells {
                println!("{}", cell.await??);
            }
        }
    }
    Ok(())
}

/// One line of the table.
async fn cell(loss: f64, bursty: bool, round_trip_ms: u64, seconds: u64) -> Result<String> {
    let one_way = Duration::from_millis(round_trip_ms) / 2;
    let figures = LinkFigures {
        delay: one_way,
        loss: if bursty {
            LossModel::Burst(BurstLoss::of(loss, BURST))
        } else {
            LossModel::Random(loss)
        },
        ..LinkFigures::default()
    };
    let lasting = Duration::from_secs(seconds);
    let (plain, streams, repaired) = tokio::try_join!(
        run(Way::Plain, media::CALL, figures.clone(), lasting),
        run(Way::Streams, media::CALL, figures.clone(), lasting),
        run(Way::Repaired, media::CALL, figures.clone(), lasting),
    )?;
    let wire = |of: &Figures| (of.wire_bytes as f64 / plain.wire_bytes as f64 - 1.0) * 100.0;
    let kind = if bursty { "bursts" } else { "random" };
    Ok(format!(
        "| {:.0} % {kind} | {round_trip_ms} ms | {} | {} | {:+.1} % | {} | {:+.1} % | {} |",
        loss * 100.0,
        plain.show(),
        streams.show(),
        wire(&streams),
        repaired.show(),
        wire(&repaired),
        repaired.note,
    ))
}

/// What arrives in time over links that carry less than two cameras' three encodings and their sound,
/// 6.6 Mbit/s.
async fn full_links(seconds: u64) -> Result<()> {
    println!("| link | way | sound | lowest | middle | highest |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for kbps in [10_000, 4_000, 1_500, 400] {
        let figures = LinkFigures {
            delay: Duration::from_millis(40),
            rate: Some(Bitrate::kbps(kbps)),
            queue: Duration::from_millis(200),
            ..LinkFigures::default()
        };
        let lasting = Duration::from_secs(seconds);
        let (plain, repaired) = tokio::try_join!(
            run(Way::Plain, media::SIMULCAST, figures.clone(), lasting),
            run(Way::Repaired, media::SIMULCAST, figures.clone(), lasting),
        )?;
        println!("| {kbps} kbit/s | plain | {} |", plain.show_classes());
        println!("| | shared | {} |", repaired.show_classes());
    }
    Ok(())
}

/// Two ends of a link, and the link, which ends with it.
struct Ends {
    near: MeshConnection,
    far: MeshConnection,
    _link: ImpairmentRelay,
    _endpoints: [MeshEndpoint; 2],
}

async fn connect(figures: LinkFigures) -> Result<Ends> {
    let ca = MeshCa::generate("bench")?;
    let settings = TransportSettings {
        one_way_streams: 10_000,
        ..TransportSettings::backbone(1_350)
    };
    let bind = |name: &str| -> Result<MeshEndpoint> {
        let issued = ca.issue(&Identity::Edge(name.parse()?), Duration::from_secs(86_400))?;
        let credentials = issued.credentials()?;
        Ok(MeshEndpoint::bind(
            LOOPBACK,
            credentials,
            &settings,
            &[ALPN],
        )?)
    };
    let endpoints = [bind("near-1")?, bind("far-1")?];
    let settings = RelaySettings {
        there: figures.clone(),
        back: figures,
        seed: 11,
        ..RelaySettings::default()
    };
    let link = ImpairmentRelay::start(LOOPBACK, endpoints[1].local_address()?, settings).await?;
    let expected = Identity::Edge("far-1".parse()?);
    let near = endpoints[0]
        .connect(link.local_address(), &expected, &[ALPN])
        .await?;
    let far = endpoints[1]
        .accept()
        .await
        .ok_or("the endpoint is closed")?;
    Ok(Ends {
        near,
        far,
        _link: link,
        _endpoints: endpoints,
    })
}

async fn run(
    way: Way,
    tracks: &[media::Track],
    figures: LinkFigures,
    lasting: Duration,
) -> Result<Figures> {
    let in_time = figures.delay + figures.delay * 2 * 12 / 10;
    let one_way = figures.delay;
    let ends = connect(figures).await?;
    let started = Instant::now();
    let record = Arc::new(Mutex::new(Record::new(WARM, WARM + lasting)));
    let quic = [ends.near.quic().clone(), ends.far.quic().clone()];
    let wire = || -> u64 { quic.iter().map(|quic| quic.stats().udp_tx.bytes).sum() };
    let note = Arc::new(Mutex::new(String::new()));
    let (source, packets) = tokio::sync::mpsc::channel(4_096);
    let ways = tokio::spawn(ways::run(
        way,
        quic.clone(),
        packets,
        started,
        Arc::clone(&record),
        Arc::clone(&note),
    ));
    tokio::time::sleep_until(started + Duration::from_millis(500)).await;
    let media = media::send(tracks, started, WARM + lasting, source);
    let measure = async {
        tokio::time::sleep_until(started + WARM).await;
        let before = wire();
        tokio::time::sleep_until(started + WARM + lasting).await;
        wire() - before
    };
    let (frames, wire_bytes) = tokio::join!(media, measure);
    tokio::time::sleep(AFTER).await;
    ways.abort();
    let record = record.lock().expect("no task panicked");
    let note = note.lock().expect("no task panicked").clone();
    Ok(record.figures(&frames, one_way, in_time, wire_bytes, note))
}
