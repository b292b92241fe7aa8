//! Packets of browsers' sizes over paths of several sizes, as the metrics count them.

use std::net::Ipv6Addr;

use super::path::{Path, measured};
use super::*;

/// The two Internet Protocols, and what their headers and UDP's take.
const PROTOCOLS: [(IpAddr, usize); 2] = [(LOOPBACK, 28), (IpAddr::V6(Ipv6Addr::LOCALHOST), 48)];

/// A path that carries so much UDP payload.
fn carrying(longest: usize) -> LinkFigures {
    LinkFigures {
        delay: Duration::from_millis(5),
        longest: Some(longest),
        ..LinkFigures::default()
    }
}

/// What is found of a path that carries so much. QUIC looks for at most 1,452 bytes, which is what IPv6
/// leaves of 1,500.
fn found_of(longest: usize) -> usize {
    longest.min(1_452) - 4
}

#[tokio::test]
async fn at_the_initial_mtu_every_packet_crosses_split_and_joined() {
    for (loopback, _) in PROTOCOLS {
        measured(async |metrics| {
            let mut path = Path::open_at(loopback, carrying(1_200), metrics).await;
            assert_eq!(path.pictures(500).await, 400, "the long ones");
            assert_eq!(path.count("dropped_packets_total"), 0);
            assert!(path.path.there().too_long > 0, "more was tried");
        })
        .await;
    }
}

#[tokio::test]
async fn once_the_path_mtu_is_found_no_packet_is_split_that_fits() {
    for (loopback, headers) in PROTOCOLS {
        for mtu in [1_280, 1_400, 1_500] {
            // IPv6's headers and QUIC's leave less of 1,280 bytes than the longest packets need.
            let split = if (loopback.is_ipv6(), mtu) == (true, 1_280) {
                400
            } else {
                0
            };
            measured(async |metrics| {
                let longest = mtu - headers;
                let mut path = Path::open_at(loopback, carrying(longest), metrics).await;
                path.until_mtu(found_of(longest)).await;
                assert_eq!(path.pictures(500).await, split, "{loopback}, {mtu}");
                assert_eq!(path.count("dropped_packets_total"), 0);
            })
            .await;
        }
    }
}

#[tokio::test]
async fn at_1280_bytes_parity_fits_and_brings_back_what_is_lost() {
    for (loopback, headers) in PROTOCOLS {
        measured(async |metrics| {
            let longest = 1_280 - headers;
            // So long that parity is sent before anything is asked for.
            let far = LinkFigures {
                delay: Duration::from_millis(140),
                ..carrying(longest)
            };
            let mut path = Path::open_at(loopback, far.clone(), metrics).await;
            path.until_mtu(found_of(longest)).await;
            let lossy = LinkFigures {
                loss: LossModel::Random(0.02),
                ..far.clone()
            };
            path.path.set_figures(lossy, far);
            let restored = async {
                while path.restored() < 20 {
                    path.send(100, |packet| if packet % 5 == 4 { 400 } else { 1_200 })
                        .await;
                }
            };
            timeout(4 * PATIENCE, restored)
                .await
                .expect("parity restores");
            assert!(path.count("parities_total") > 0);
            assert_eq!(path.unfit(), 0, "{loopback}");
        })
        .await;
    }
}
