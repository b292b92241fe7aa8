//! This machine: ports, socket buffers, the clock, and the age of GeoIP files.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::fmt::rfc2822;
use sluice_coordinator::geoip;
use sluice_edge::config::EdgeConfig;

use super::report::Report;

const PORTS: &str = "port";
const BUFFERS: &str = "buffers";
const CLOCK: &str = "clock";
const GEOIP: &str = "geoip";

/// What each media worker asks for, in bytes; the kernel gives no more than its limit.
const SOCKET_BYTES: u64 = 4 * 1024 * 1024;
/// What `terraform/` sets, so that QUIC too gets what it asks for.
const BUFFER_BYTES: u64 = 33_554_432;

/// Join tokens are believed by edges whose clock is this far off, and no further.
const SKEW_MAX: Duration = Duration::from_secs(5);
const SKEW_NOTED: Duration = Duration::from_secs(2);

const DAY: u64 = 86_400;
const HTTP_PATIENCE: Duration = Duration::from_secs(5);

/// A client that asks directly, and not for ever.
pub(super) fn http() -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .timeout(HTTP_PATIENCE)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| error.to_string())
}

/// Whether the edge of this configuration answers under its public name.
async fn runs(http: &reqwest::Client, config: &EdgeConfig) -> Result<bool, String> {
    let answer = http
        .get(format!("{}/config.json", config.sfu_endpoint))
        .send()
        .await
        .map_err(|error| chain(&error))?;
    // One that is not registered yet answers 503, under our name all the same.
    if answer.status() == 503 {
        return Ok(true);
    }
    let told: serde_json::Value = answer.json().await.map_err(|error| chain(&error))?;
    Ok(told["edge"] == config.edge.as_str())
}

/// An error with all its causes: reqwest's own words alone hide the cause.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Ports are free for an edge that does not run, or taken by it when it does.
pub(super) async fn ports(report: &mut Report, http: &reqwest::Client, config: &EdgeConfig) {
    let alive = runs(http, config).await;
    match &alive {
        Ok(true) => report.ok(
            PORTS,
            &config.sfu_endpoint,
            "the edge runs and answers here",
        ),
        Ok(false) => report.fail(
            PORTS,
            &config.sfu_endpoint,
            "something else answers under this edge's public name",
            "lead the name to this edge, or correct `sfu_endpoint`",
        ),
        Err(error) => report.skip(
            PORTS,
            &config.sfu_endpoint,
            format!("the edge does not run, or is not reached: {error}"),
        ),
    }
    let runs = alive == Ok(true);
    let udp = |address| UdpSocket::bind(address).map(drop);
    let tcp = |address| TcpListener::bind(address).map(drop);
    one(report, runs, "http_listen, TCP", config.http_listen, tcp);
    if let Some(acme) = &config.acme {
        one(report, runs, "acme_listen, TCP", acme.listen, tcp);
    }
    if let Some(port) = config.ice_tcp_port {
        let address = SocketAddr::new(config.media_listen, port);
        one(report, runs, "ice_tcp_port, TCP", address, tcp);
    }
    for worker in 0..config.workers {
        let Some(port) = config.media_port.checked_add(worker) else {
            return report.fail(
                PORTS,
                "media_port",
                format!("worker {worker} would have a port above 65535"),
                "lower `media_port`",
            );
        };
        let address = SocketAddr::new(config.media_listen, port);
        one(report, runs, "media_port, UDP", address, udp);
    }
    one(
        report,
        runs,
        "backbone_listen, UDP",
        config.backbone_listen,
        udp,
    );
}

fn one(
    report: &mut Report,
    runs: bool,
    what: &str,
    address: SocketAddr,
    bind: impl FnOnce(SocketAddr) -> io::Result<()>,
) {
    let of = format!("{what} {address}");
    match bind(address) {
        Ok(()) if runs => report.warn(
            PORTS,
            of,
            "nobody listens here, though the edge runs",
            "the edge runs with another configuration than this one",
        ),
        Ok(()) => report.ok(PORTS, of, "can be bound"),
        Err(error) if error.kind() == ErrorKind::AddrInUse && runs => {
            report.ok(PORTS, of, "is taken, by the edge that runs");
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => report.fail(
            PORTS,
            of,
            "another process has it",
            "find it with `ss -lntup`, or choose another port and tell the topology",
        ),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => report.fail(
            PORTS,
            of,
            error,
            "ports below 1024 want CAP_NET_BIND_SERVICE, as the service's unit gives it",
        ),
        Err(error) => report.fail(
            PORTS,
            of,
            error,
            "is the address one of this machine's? `ip address` lists them",
        ),
    }
}

/// The kernel's limits of socket buffers, in `/proc/sys/net/core`.
pub(super) fn buffers(report: &mut Report, dir: &Path) {
    for name in ["rmem_max", "wmem_max"] {
        let of = format!("net.core.{name}");
        let read = std::fs::read_to_string(dir.join(name))
            .map_err(|error| error.to_string())
            .and_then(|text| {
                text.trim()
                    .parse::<u64>()
                    .map_err(|error| error.to_string())
            });
        let mend =
            format!("sysctl -w net.core.{name}={BUFFER_BYTES}, and keep it in /etc/sysctl.d");
        match read {
            Ok(bytes) if bytes >= BUFFER_BYTES => report.ok(BUFFERS, of, format!("{bytes} bytes")),
            Ok(bytes) if bytes >= SOCKET_BYTES => report.warn(
                BUFFERS,
                of,
                format!("{bytes} bytes: enough for media, not for a busy backbone"),
                &mend,
            ),
            Ok(bytes) => report.fail(
                BUFFERS,
                of,
                format!("{bytes} bytes: packets are lost in bursts"),
                &mend,
            ),
            Err(error) => report.skip(BUFFERS, of, error),
        }
    }
}

/// How far this clock is from the coordinator's, by the `Date` of an answer, which has whole seconds.
pub(super) async fn clock(report: &mut Report, http: &reqwest::Client, url: Option<&str>) {
    let Some(url) = url else {
        return report.skip(
            CLOCK,
            "coordinator",
            "give --coordinator-url, or --topology DIR",
        );
    };
    let asked = SystemTime::now();
    let answer = match http.get(format!("{url}/healthz")).send().await {
        Ok(answer) => answer,
        Err(error) => {
            return report.fail(
                CLOCK,
                url,
                chain(&error),
                "clients cannot join either: see that the coordinator's HTTP is up and its \
                 certificate good",
            );
        }
    };
    let answered = SystemTime::now();
    let date = answer
        .headers()
        .get("date")
        .and_then(|date| rfc2822::parse(date.to_str().ok()?).ok());
    let Some(date) = date else {
        return report.skip(CLOCK, url, "the answer has no date");
    };
    let theirs = date.timestamp().as_second() as f64;
    let skew = skew(unix(asked), unix(answered), theirs);
    let found = format!("{:+.1} s from the coordinator's", skew);
    if skew.abs() > SKEW_MAX.as_secs_f64() {
        report.fail(
            CLOCK,
            url,
            found,
            "join tokens seem expired, or not to end: run a time service here and at the coordinator",
        );
    } else if skew.abs() > SKEW_NOTED.as_secs_f64() {
        report.warn(
            CLOCK,
            url,
            found,
            "run a time service here and at the coordinator",
        );
    } else {
        report.ok(CLOCK, url, found);
    }
}

fn unix(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// The least skew that explains an answer dated `date` to the second, between `asked` and `answered`:
/// positive when this clock is ahead, none when the date may be right.
fn skew(asked: f64, answered: f64, date: f64) -> f64 {
    if asked > date + 1.0 {
        asked - (date + 1.0)
    } else if answered < date {
        answered - date
    } else {
        0.0
    }
}

/// How old GeoIP files are.
pub(super) fn geoip(report: &mut Report, files: &[PathBuf], now: SystemTime) {
    if files.is_empty() {
        report.skip(
            GEOIP,
            "files",
            "the coordinator has them; give --geoip FILE there, or a copy here",
        );
    }
    for file in files {
        let of = file.display().to_string();
        match geoip::built_s(file) {
            Err(error) => report.fail(
                GEOIP,
                of,
                error,
                "fetch it anew: scripts/geoip, or from where yours is",
            ),
            Ok(built) => {
                let days = (unix(now) as u64).saturating_sub(built) / DAY;
                let found = format!("made {days} days ago");
                if days > 60 {
                    report.warn(
                        GEOIP,
                        of,
                        found,
                        "addresses change hands: fetch a newer one",
                    );
                } else {
                    report.ok(GEOIP, of, found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_whole_seconds_is_no_skew_of_its_own() {
        for (asked, answered, date, found) in [
            (100.2, 100.3, 100.0, 0.0),
            (100.9, 101.1, 100.0, 0.0),
            (107.5, 107.6, 100.0, 6.5),
            (93.0, 93.5, 100.0, -6.5),
        ] {
            assert!((skew(asked, answered, date) - found).abs() < 1e-9);
        }
    }
}
